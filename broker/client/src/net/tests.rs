//! TLS over real sockets against a server of our own: who is trusted, and what is refused for good.
//! The certificates are made by `certificates/make.sh`.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::transport::{Stream, Transport};
use super::{End, not_a_frame};
use crate::core::Address;
use crate::error::ClientError;
use crate::security::{Security, Tls};

const AUTHORITY: &str = include_str!("certificates/authority.pem");
const STRANGER: &str = include_str!("certificates/stranger.pem");
const SERVER: &str = include_str!("certificates/server.pem");
const SERVER_KEY: &str = include_str!("certificates/server.key");
const CLIENT: &str = include_str!("certificates/client.pem");
const CLIENT_KEY: &str = include_str!("certificates/client.key");
const CLIENT_SEC1_KEY: &str = include_str!("certificates/client_sec1.key");
const CLIENT_RSA: &str = include_str!("certificates/client_rsa.pem");
const CLIENT_RSA_KEY: &str = include_str!("certificates/client_rsa.key");

/// A server that sends one byte to each client that it accepts. Gives its port.
async fn serve(asks_for_certificates: bool) -> u16 {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).expect("PEM");
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if asks_for_certificates {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(AUTHORITY)).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![certificate(SERVER)], key).expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _refused = stream.write_all(&[7]).await;
                let _refused = stream.shutdown().await;
            }
        }
    });
    port
}

/// Connects and reads the byte.
async fn meet(host: &str, port: u16, tls: Tls) -> Result<(), End> {
    let transport = Transport::open(&Security::tls(tls)).expect("settings");
    let address = Address { host: host.to_owned(), port };
    let Stream::Encrypted(mut stream) = transport.connect(&address).await? else {
        panic!("not encrypted");
    };
    stream.read_u8().await.map(|_| ()).map_err(|error| End::of("read", &error))
}

fn refusal(end: Result<(), End>) -> String {
    match end {
        Err(End::Refused(reason)) => reason,
        Err(End::Lost(reason)) => panic!("would be tried again: {reason}"),
        Ok(()) => panic!("accepted"),
    }
}

fn trusting() -> Tls {
    Tls::new().ca_pem(AUTHORITY)
}

#[tokio::test]
async fn servers_are_trusted_by_authority_and_name() {
    let port = serve(false).await;
    assert!(meet("localhost", port, trusting()).await.is_ok());
    assert!(meet("localhost", port, trusting().only_tls13()).await.is_ok());
    let unknown = refusal(meet("localhost", port, Tls::new().ca_pem(STRANGER)).await);
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let misnamed = refusal(meet("127.0.0.1", port, trusting()).await);
    assert!(misnamed.contains("not valid for name"), "{misnamed}");
}

#[tokio::test]
async fn without_the_name_the_authority_still_counts() {
    let port = serve(false).await;
    let any_name = |tls: Tls| tls.dangerously_skip_server_name_verification();
    assert!(meet("127.0.0.1", port, any_name(trusting())).await.is_ok());
    let unknown = any_name(Tls::new().ca_pem(STRANGER));
    assert!(refusal(meet("127.0.0.1", port, unknown).await).contains("UnknownIssuer"));
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let port = serve(true).await;
    let pairs = [(CLIENT, CLIENT_KEY), (CLIENT, CLIENT_SEC1_KEY), (CLIENT_RSA, CLIENT_RSA_KEY)];
    for (chain, key) in pairs {
        let identified = trusting().identity_pem(chain, key);
        assert!(meet("localhost", port, identified).await.is_ok());
    }
    let file = |name: &str| format!("{}/src/net/certificates/{name}", env!("CARGO_MANIFEST_DIR"));
    let from_files = Tls::new()
        .ca_file(file("authority.pem"))
        .identity_files(file("client.pem"), file("client.key"));
    assert!(meet("localhost", port, from_files).await.is_ok());
    let nobody = refusal(meet("localhost", port, trusting()).await);
    assert!(nobody.contains("CertificateRequired"), "{nobody}");
}

#[tokio::test]
async fn a_port_without_tls_is_no_place_to_come_back_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("an answer");
        let mut rest = Vec::new();
        let _closed = stream.read_to_end(&mut rest).await;
    });
    let foreign = refusal(meet("localhost", port, trusting()).await);
    assert!(foreign.contains("this port may not speak"), "{foreign}");
    assert!(not_a_frame([0x15, 3, 3, 0]).contains("speaks TLS"));
    assert!(not_a_frame([0x7f, 0, 0, 0]).contains("2130706432 bytes"));
}

#[test]
fn files_are_looked_at_when_a_client_begins() {
    let open = |tls: Tls| match Transport::open(&Security::tls(tls)) {
        Err(ClientError::Config(text)) => text,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("accepted"),
    };
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(open(Tls::new().ca_file("/no/such.pem")).contains("/no/such.pem"));
    assert!(open(Tls::new().ca_pem("nothing")).contains("no certificate in it"));
    assert!(open(trusting().identity_pem(CLIENT, "nothing")).contains("no private key in it"));
    assert!(open(trusting().identity_pem(CLIENT, encrypted)).contains("under a password"));
    let mismatch = open(trusting().identity_pem(CLIENT, SERVER_KEY));
    assert!(!mismatch.contains("BEGIN"), "{mismatch}");
}
