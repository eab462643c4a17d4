//! TLS by rustls, with ring's cryptography.
//!
//! Invariants:
//! - The server's chain is always verified up to an authority. Its name is too, unless the settings
//!   say loudly that it is not.
//! - Errors name files and never show what is in them.
//!
//! Left out: lists of revoked certificates, and keys on the curve P-521, which ring does not know.

use std::io::{Error, ErrorKind, Read};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::End;
use crate::error::{ClientError, Result};
use crate::limits::PEM_BYTES_MAX;
use crate::security::{Pem, Tls};

pub(super) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Encrypts connections.
pub(super) struct Connector {
    connector: TlsConnector,
}

impl Connector {
    /// Reads the files that the settings name.
    pub(super) fn open(settings: &Tls) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(authorities(settings)?);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(settings))
            .map_err(|error| wrong(&error.to_string()))?;
        let builder = if settings.verify_server_name {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| wrong(&error.to_string()))?;
            builder.with_webpki_verifier(verifier)
        } else {
            let verifier = AnyName { roots, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(certificates(chain)?, private_key(key)?)
                .map_err(|error| wrong(&format!("{}: {error}", key.place())))?,
        };
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn encrypt(&self, host: &str, stream: TcpStream) -> Result<TlsStream, End> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| End::Refused(format!("TLS to {host:?}: {error}")))?;
        self.connector.connect(name, stream).await.map_err(|error| {
            let closed =
                matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset);
            let foreign =
                closed || matches!(of_rustls(&error), Some(rustls::Error::InvalidMessage(_)));
            End::of(if foreign { "TLS, which this port may not speak" } else { "TLS" }, &error)
        })
    }
}

/// Whether trying again would end in the same way: a certificate that is not trusted, by us or by
/// the broker, or two sides that have nothing in common.
pub(super) fn is_refusal(error: &Error) -> bool {
    match of_rustls(error) {
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
        ),
        Some(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::InvalidMessage(_),
        ) => true,
        _ => false,
    }
}

fn of_rustls(error: &Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn versions(settings: &Tls) -> Vec<&'static SupportedProtocolVersion> {
    let known =
        [(settings.tls13, &rustls::version::TLS13), (settings.tls12, &rustls::version::TLS12)];
    known.into_iter().filter_map(|(wanted, version)| wanted.then_some(version)).collect()
}

fn authorities(settings: &Tls) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &settings.authorities else {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(wrong("the system has no trusted authorities; name a file with some"));
        }
        return Ok(roots);
    };
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| wrong(&format!("{}: {error}", pem.place())))?;
    }
    Ok(roots)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(pem)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(&format!("{}: no certificate in it", pem.place()))),
        Err(_) => Err(wrong(&format!("{}: not PEM", pem.place()))),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>> {
    let text = read(pem)?;
    if text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        let text = "the private key is under a password, which is not supported";
        return Err(wrong(&format!("{}: {text}", pem.place())));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| wrong(&format!("{}: no private key in it", pem.place())))
}

fn read(pem: &Pem) -> Result<String> {
    let path = match pem {
        Pem::Memory(text) => return Ok(text.reveal().to_owned()),
        Pem::File(path) => path,
    };
    let failed = |text: &dyn std::fmt::Display| wrong(&format!("{}: {text}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut text = String::new();
    file.take(PEM_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if PEM_BYTES_MAX < text.len() as u64 {
        return Err(failed(&"too large for a PEM file"));
    }
    Ok(text)
}

fn wrong(text: &str) -> ClientError {
    ClientError::Config(format!("TLS: {text}"))
}

/// Verifies everything but the name.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
