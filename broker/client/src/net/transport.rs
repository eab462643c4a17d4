//! How connections are made, and what comes from outside for their authentication.
//!
//! Files are read once, when a client connects; a problem with them is a problem of configuration
//! and is told there and then.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mainstem_platform::Clock;
use mainstem_platform::os::OsClock;
use tokio::net::TcpStream;

use super::End;
use super::tls::{Connector, TlsStream};
use super::tokens::Tokens;
use crate::core::Address;
use crate::core::sasl::{Need, Prepared};
use crate::error::Result;
use crate::security::Security;

/// Of a nonce, before it is made printable.
const NONCE_BYTES: usize = 24;

pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream>),
}

/// See the module's text.
pub(crate) struct Transport {
    tls: Option<Connector>,
    tokens: Option<Tokens>,
}

impl Transport {
    pub(crate) fn open(security: &Security) -> Result<Self> {
        let tls = security.tls_settings().map(Connector::open).transpose()?;
        let tokens = security.tokens().map(Tokens::new);
        Ok(Self { tls, tokens })
    }

    pub(super) async fn connect(&self, address: &Address) -> Result<Stream, End> {
        let Address { host, port } = address;
        let stream = tcp(host, *port).await.map_err(|error| End::of("connect", &error))?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(tls) => Ok(Stream::Encrypted(Box::new(tls.encrypt(host, stream).await?))),
        }
    }

    pub(super) async fn prepare(&self, need: Need) -> Prepared {
        match need {
            Need::Nonce => nonce(),
            Need::Token => match &self.tokens {
                Some(tokens) => tokens.get(OsClock.now().instant).await,
                None => Prepared::Failed("there is no token provider".to_owned()),
            },
        }
    }
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn nonce() -> Prepared {
    let mut bytes = [0; NONCE_BYTES];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Prepared::Nonce(STANDARD.encode(bytes)),
        Err(error) => Prepared::Failed(format!("the system's randomness: {error}")),
    }
}
