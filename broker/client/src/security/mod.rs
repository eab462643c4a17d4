//! How a client proves who it is, and how it knows whom it talks to.
//!
//! In reading order: [`tls`] (certificates), [`sasl`] (mechanisms and their logins), [`token`]
//! (OAUTHBEARER), [`secret`] (what is never printed), [`properties`] with [`jaas`] (the names that
//! Kafka's own clients use). All of it is values, but for the clock of [`UnsecuredTokens`]; the
//! exchange is in [`crate::core::sasl`], sockets and files are in `net`.
//!
//! Invariants:
//! - Secrets appear in no `Debug` output and in no error.
//! - A server's certificate is always checked; only its name can be left out, and the way to say so
//!   is loud.
//!
//! Left out: GSSAPI (Kerberos), key stores other than PEM, private keys under a password, and the
//! fetching of OAuth tokens over HTTP, which is what a [`TokenProvider`] is for.

mod jaas;
mod properties;
mod sasl;
mod secret;
mod tls;
mod token;

#[cfg(test)]
mod tests;

pub use sasl::Sasl;
pub(crate) use secret::Secret;
#[cfg(feature = "tls")]
pub(crate) use tls::Pem;
pub use tls::Tls;
pub use token::{Token, TokenError, TokenFuture, TokenProvider, UnsecuredTokens};

use crate::core::sasl::Login;

/// Encryption and authentication of every connection of a client. By default there is neither.
#[derive(Debug, Clone, Default)]
pub struct Security {
    tls: Option<Tls>,
    sasl: Option<Sasl>,
}

impl Security {
    /// `PLAINTEXT`: nothing is encrypted and nobody is authenticated.
    pub fn plaintext() -> Self {
        Self::default()
    }

    /// `SSL`: encrypted; the client is who its certificate says, if it has one.
    pub fn tls(tls: Tls) -> Self {
        Self { tls: Some(tls), sasl: None }
    }

    /// `SASL_SSL`: encrypted, and the client authenticates itself.
    pub fn sasl_over_tls(sasl: Sasl, tls: Tls) -> Self {
        Self { tls: Some(tls), sasl: Some(sasl) }
    }

    /// `SASL_PLAINTEXT`: the client authenticates itself, and everybody on the way can read along.
    /// With PLAIN and OAUTHBEARER that includes the password and the token.
    pub fn sasl_over_plaintext(sasl: Sasl) -> Self {
        Self { tls: None, sasl: Some(sasl) }
    }

    pub(crate) fn login(&self) -> Option<Login> {
        self.sasl.as_ref().map(|sasl| sasl.login.clone())
    }

    pub(crate) fn tokens(&self) -> Option<std::sync::Arc<dyn TokenProvider>> {
        self.sasl.as_ref().and_then(|sasl| sasl.tokens.clone())
    }

    pub(crate) fn tls_settings(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}
