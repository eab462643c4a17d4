//! OAUTHBEARER (RFC 7628): one message with the token; a broker that refuses it says why in JSON,
//! waits for a single byte, and only then fails the exchange.

use bytes::Bytes;

use crate::security::Token;

/// Separates and ends the pairs of a message.
const END: char = '\u{1}';

pub(super) struct Bearer {
    /// Why the broker will fail the exchange.
    refusal: Option<String>,
}

impl Bearer {
    pub(super) fn new() -> Self {
        Self { refusal: None }
    }

    pub(super) fn handle(&mut self, message: &[u8]) -> Result<Option<Bytes>, String> {
        if let Some(reason) = self.refusal.take() {
            return Err(format!("the broker refused the token: {reason}"));
        }
        if message.is_empty() {
            return Ok(None);
        }
        self.refusal = Some(super::quoted(&String::from_utf8_lossy(message)));
        Ok(Some(Bytes::from_static(b"\x01")))
    }
}

/// `n,,^Aauth=Bearer <token>^A<extension>=<value>^A^A`
pub(super) fn client_first(token: &Token) -> Result<String, String> {
    let value = token.value.reveal();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if value.is_empty() || !value.bytes().all(allowed) {
        return Err("the token is empty or has characters that tokens do not have".to_owned());
    }
    let mut message = format!("n,,{END}auth=Bearer {value}{END}");
    for (name, value) in &token.extensions {
        let letters = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic());
        let printable = |b: u8| matches!(b, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n');
        if !letters || name == "auth" || value.is_empty() || !value.bytes().all(printable) {
            return Err(format!("the extension {name:?} of the token cannot be sent"));
        }
        message.push_str(&format!("{name}={value}{END}"));
    }
    message.push(END);
    Ok(message)
}
