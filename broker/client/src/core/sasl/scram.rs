//! SCRAM (RFC 5802) with SHA-256 (RFC 7677) and SHA-512, without channel binding, as Kafka has it.
//!
//! Four messages: our name and nonce; the broker's nonce, salt and iterations; our proof; the
//! broker's signature. The proof shows that we know the password without saying it, and the
//! signature that the broker knows what is derived from it.
//!
//! Invariants:
//! - The broker's nonce begins with ours and is longer: an answer to somebody else is refused.
//! - The count of iterations is bounded on both sides. Below, because few of them make guessing
//!   cheap for whoever plays the broker; above, because that one must not keep us busy.
//! - Success needs the signature; it is compared in constant time.
//!
//! Names and passwords are UTF-8 as they are, without SASLprep: that is what Kafka does, on both
//! sides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};

use crate::limits::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use crate::security::Secret;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    fn sign(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data).finalize().into_bytes().to_vec(),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data).finalize().into_bytes().to_vec(),
        }
    }

    /// In constant time.
    fn verify(self, key: &[u8], data: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data).verify_slice(signature).is_ok(),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data).verify_slice(signature).is_ok(),
        }
    }

    fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => {
                pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec()
            }
            Self::Sha512 => {
                pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec()
            }
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac
}

/// What we wait for.
enum Stage {
    Challenge,
    Signature { server_key: Vec<u8>, signed: String },
    Over,
}

/// See the module's text.
pub(crate) struct Scram {
    hash: Hash,
    password: Secret,
    nonce: String,
    /// The first message without the header of channel binding.
    first_bare: String,
    stage: Stage,
}

/// No channel binding, no other name to act under.
const HEADER: &str = "n,,";

impl Scram {
    pub(crate) fn new(
        hash: Hash,
        username: &str,
        password: &Secret,
        delegation_token: bool,
        nonce: &str,
    ) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let extension = if delegation_token { ",tokenauth=true" } else { "" };
        Self {
            hash,
            password: password.clone(),
            nonce: nonce.to_owned(),
            first_bare: format!("n={name},r={nonce}{extension}"),
            stage: Stage::Challenge,
        }
    }

    pub(crate) fn client_first(&self) -> String {
        format!("{HEADER}{}", self.first_bare)
    }

    /// What we answer; `None` at the end.
    pub(crate) fn handle(&mut self, message: &[u8]) -> Result<Option<Bytes>, String> {
        let message = std::str::from_utf8(message).map_err(|_| "a message that is not text")?;
        if let Some(error) = message.strip_prefix("e=") {
            return Err(format!("the broker says {}", super::quoted(error)));
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Challenge => self.prove(message).map(Some),
            Stage::Signature { server_key, signed } => {
                let signature = message.strip_prefix("v=").and_then(|text| text.split(',').next());
                let signature = signature.and_then(|text| STANDARD.decode(text).ok());
                let signature = signature.ok_or("the broker's last message has no signature")?;
                if self.hash.verify(&server_key, signed.as_bytes(), &signature) {
                    Ok(None)
                } else {
                    Err("the broker does not know the password: its signature is wrong".to_owned())
                }
            }
            Stage::Over => Err("a message after the last one".to_owned()),
        }
    }

    fn prove(&mut self, message: &str) -> Result<Bytes, String> {
        let Challenge { nonce, salt, iterations } = Challenge::read(message)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the broker's nonce does not continue ours".to_owned());
        }
        if !(SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(&iterations) {
            let range = format!("{SCRAM_ITERATIONS_MIN} to {SCRAM_ITERATIONS_MAX}");
            return Err(format!("the broker wants {iterations} iterations; accepted: {range}"));
        }
        let salted = self.hash.stretch(self.password.reveal().as_bytes(), &salt, iterations);
        let client_key = self.hash.sign(&salted, b"Client Key");
        let server_key = self.hash.sign(&salted, b"Server Key");
        let final_bare = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let signed = format!("{},{message},{final_bare}", self.first_bare);
        let signature = self.hash.sign(&self.hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        self.stage = Stage::Signature { server_key, signed };
        Ok(format!("{final_bare},p={}", STANDARD.encode(proof)).into())
    }
}

struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    /// `r=<nonce>,s=<salt>,i=<iterations>[,extensions]`. What begins with `m=` would have to be
    /// understood, and nothing of that kind is.
    fn read(message: &'a str) -> Result<Self, Unreadable> {
        let mut attributes = message.split(',');
        let mut next = |name: &str| attributes.next().and_then(|text| text.strip_prefix(name));
        let nonce = next("r=").ok_or(Unreadable)?;
        let salt = next("s=").and_then(|text| STANDARD.decode(text).ok()).ok_or(Unreadable)?;
        let iterations = next("i=").and_then(|text| text.parse().ok()).ok_or(Unreadable)?;
        Ok(Self { nonce, salt, iterations })
    }
}

struct Unreadable;

impl From<Unreadable> for String {
    fn from(_: Unreadable) -> Self {
        "the broker's challenge cannot be read".to_owned()
    }
}
