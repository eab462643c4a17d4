//! SASL: one authentication, from what it needs to its end. Pure: nonces and tokens come in.
//!
//! The order is Kafka's (KIP-43, KIP-152): SaslHandshake names the mechanism, then tokens go to and
//! fro in SaslAuthenticate until the mechanism is content. What the tokens of a mechanism are is in
//! [`scram`] and in [`bearer`]; PLAIN has a single one and is in this file. On which connection,
//! when, and what happens to a client that is refused is [`super::wire`]'s.
//!
//! Invariants:
//! - A refusal is final: no credentials are offered again once they were refused.
//! - With SCRAM an authentication that succeeded has proved that the broker knows the password too.
//! - No error holds a password or a token.
//! - Nobody is trusted yet: what the broker says is bounded before it is looked into or repeated.

mod bearer;
mod scram;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};

use crate::error::Cause;
use crate::limits::{SASL_REASON_CHARS_MAX, SASL_TOKEN_BYTES_MAX};
use crate::security::{Secret, Token};
use bearer::Bearer;
pub(crate) use scram::Hash;
use scram::Scram;

/// Who we are, as the mechanisms want it.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    Plain { username: String, password: Secret },
    Scram { hash: Hash, username: String, password: Secret, delegation_token: bool },
    OAuthBearer,
}

impl Login {
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: Hash::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: Hash::Sha512, .. } => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// What must come from outside before an exchange can begin.
    pub(crate) fn need(&self) -> Option<Need> {
        match self {
            Self::Plain { .. } => None,
            Self::Scram { .. } => Some(Need::Nonce),
            Self::OAuthBearer => Some(Need::Token),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Printable text without commas that nobody can guess and that is used once.
    Nonce,
    Token,
}

/// What came from outside.
#[derive(Debug, Clone)]
pub(crate) enum Prepared {
    Nothing,
    Nonce(String),
    Token(Token),
    Failed(String),
}

/// What follows a token of the broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Send(Bytes),
    /// For how long, if there is an end to it.
    Authenticated(Option<Duration>),
}

enum Dialogue {
    Plain,
    Scram(Box<Scram>),
    Bearer(Bearer),
}

/// One authentication under way.
pub(crate) struct Exchange {
    mechanism: &'static str,
    first: Bytes,
    dialogue: Dialogue,
}

impl Exchange {
    /// `Err`: what was prepared cannot be sent.
    pub(crate) fn new(login: &Login, prepared: Prepared) -> Result<Self, String> {
        let (dialogue, first) = match (login, prepared) {
            (Login::Plain { username, password }, _) => {
                (Dialogue::Plain, format!("\0{username}\0{}", password.reveal()))
            }
            (
                Login::Scram { hash, username, password, delegation_token },
                Prepared::Nonce(nonce),
            ) => {
                let scram = Scram::new(*hash, username, password, *delegation_token, &nonce);
                let first = scram.client_first();
                (Dialogue::Scram(Box::new(scram)), first)
            }
            (Login::OAuthBearer, Prepared::Token(token)) => {
                (Dialogue::Bearer(Bearer::new()), bearer::client_first(&token)?)
            }
            (_, Prepared::Failed(reason)) => return Err(reason),
            (_, Prepared::Nothing | Prepared::Nonce(_) | Prepared::Token(_)) => {
                return Err("something else was prepared than the mechanism needs".to_owned());
            }
        };
        Ok(Self { mechanism: login.mechanism(), first: first.into(), dialogue })
    }

    /// The answer to SaslHandshake. Gives the first token.
    pub(crate) fn handle_handshake(
        &mut self,
        response: &SaslHandshakeResponse,
    ) -> Result<Bytes, Cause> {
        match response.error_code {
            ErrorCode::NONE => Ok(std::mem::take(&mut self.first)),
            ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                let offered = quoted(&response.mechanisms.join(", "));
                let text = format!("{}: the broker offers {offered}", self.mechanism);
                Err(Cause { code: response.error_code.0, text })
            }
            ErrorCode::ILLEGAL_SASL_STATE => {
                let text = "the broker authenticates nobody on this port";
                Err(self.refused(response.error_code, Some(text)))
            }
            code => Err(self.refused(code, None)),
        }
    }

    /// The answer to SaslAuthenticate.
    pub(crate) fn handle_token(
        &mut self,
        response: &SaslAuthenticateResponse,
    ) -> Result<Next, Cause> {
        if response.error_code.is_error() {
            return Err(self.refused(response.error_code, response.error_message.as_deref()));
        }
        let token = &response.auth_bytes;
        let reply = match &mut self.dialogue {
            _ if token.len() > SASL_TOKEN_BYTES_MAX => {
                Err(format!("the broker's answer has more than {SASL_TOKEN_BYTES_MAX} bytes"))
            }
            Dialogue::Plain if token.is_empty() => Ok(None),
            Dialogue::Plain => Err("an answer that PLAIN does not have".to_owned()),
            Dialogue::Scram(scram) => scram.handle(token),
            Dialogue::Bearer(bearer) => bearer.handle(token),
        };
        match reply {
            Ok(Some(reply)) => Ok(Next::Send(reply)),
            Ok(None) => {
                let lifetime_ms = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
                let ends = (lifetime_ms > 0).then(|| Duration::from_millis(lifetime_ms));
                Ok(Next::Authenticated(ends))
            }
            Err(reason) => Err(Cause::text(format!("{}: {reason}", self.mechanism))),
        }
    }

    fn refused(&self, code: ErrorCode, message: Option<&str>) -> Cause {
        let message = message.filter(|text| !text.is_empty()).unwrap_or_else(|| code.message());
        let (mechanism, message, name) = (self.mechanism, quoted(message), code.name());
        Cause { code: code.0, text: format!("{mechanism}: {message} ({name})") }
    }
}

/// What a stranger says, fit for one line of an error.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SASL_REASON_CHARS_MAX).collect()
}
