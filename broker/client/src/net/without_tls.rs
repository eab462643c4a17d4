//! What stands in for TLS when the crate is built without it: nothing can be opened.

use tokio::net::TcpStream;

use super::End;
use crate::error::{ClientError, Result};
use crate::security::Tls;

pub(super) type TlsStream = TcpStream;

pub(super) enum Connector {}

impl Connector {
    pub(super) fn open(_settings: &Tls) -> Result<Self> {
        let text = "security: this client was built without its feature `tls`";
        Err(ClientError::Config(text.to_owned()))
    }

    pub(super) async fn encrypt(&self, _: &str, _: TcpStream) -> Result<TlsStream, End> {
        match *self {}
    }
}

pub(super) fn is_refusal(_: &std::io::Error) -> bool {
    false
}

#[test]
fn encryption_is_refused() {
    let refused = Connector::open(&Tls::new()).err();
    assert!(matches!(refused, Some(ClientError::Config(_))), "{refused:?}");
}
