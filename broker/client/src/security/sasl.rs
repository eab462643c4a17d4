//! The mechanisms a client can authenticate itself with.

use std::fmt;
use std::sync::Arc;

use super::{Secret, TokenProvider};
use crate::core::sasl::{Hash, Login};
use crate::error::{ClientError, Result};

/// A mechanism and what it needs.
#[derive(Clone)]
pub struct Sasl {
    pub(crate) login: Login,
    pub(crate) tokens: Option<Arc<dyn TokenProvider>>,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.login.fmt(f)
    }
}

impl Sasl {
    /// PLAIN: the password goes over the wire as it is. Use it over TLS.
    pub fn plain(username: impl Into<String>, password: impl Into<String>) -> Result<Self> {
        let (username, password) = (username.into(), password.into());
        if username.contains('\0') || password.contains('\0') {
            return Err(wrong("PLAIN: neither name nor password may contain a zero byte"));
        }
        Self::named(Login::Plain { username, password: Secret::new(password) })
    }

    /// SCRAM-SHA-256 (RFC 7677): the password stays here, and the broker proves that it knows it.
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<String>) -> Result<Self> {
        Self::scram(Hash::Sha256, username.into(), password.into())
    }

    /// SCRAM-SHA-512.
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<String>) -> Result<Self> {
        Self::scram(Hash::Sha512, username.into(), password.into())
    }

    /// Name and password are the id and the HMAC of a delegation token, which only SCRAM takes.
    pub fn as_delegation_token(mut self) -> Result<Self> {
        match &mut self.login {
            Login::Scram { delegation_token, .. } => *delegation_token = true,
            Login::Plain { .. } | Login::OAuthBearer => {
                return Err(wrong("delegation tokens need SCRAM"));
            }
        }
        Ok(self)
    }

    /// OAUTHBEARER (RFC 7628): a token of somebody whom the broker trusts. Use it over TLS.
    pub fn oauth_bearer(tokens: Arc<dyn TokenProvider>) -> Self {
        Self { login: Login::OAuthBearer, tokens: Some(tokens) }
    }

    pub(crate) fn scram(hash: Hash, username: String, password: String) -> Result<Self> {
        let (password, delegation_token) = (Secret::new(password), false);
        Self::named(Login::Scram { hash, username, password, delegation_token })
    }

    fn named(login: Login) -> Result<Self> {
        match &login {
            Login::Plain { username, .. } | Login::Scram { username, .. }
                if username.is_empty() =>
            {
                Err(wrong("the user's name is empty"))
            }
            _ => Ok(Self { login, tokens: None }),
        }
    }
}

fn wrong(text: &str) -> ClientError {
    ClientError::Config(format!("SASL: {text}"))
}
