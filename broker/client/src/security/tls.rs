//! TLS settings: whom to trust, which certificate to show. They are read when a client connects.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Secret;

/// Where PEM text comes from.
#[derive(Clone)]
pub(crate) enum Pem {
    File(PathBuf),
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody to read it"))]
    Memory(Secret),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl Pem {
    /// For errors; never the contents.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(_) => "PEM in memory".to_owned(),
        }
    }
}

/// Settings of TLS 1.2 and 1.3. By default the server's certificate must come from an authority
/// that the system trusts and must name the host that is connected to, and the client shows none.
#[derive(Debug, Clone)]
pub struct Tls {
    /// `None`: what the system trusts.
    pub(crate) authorities: Option<Pem>,
    /// Certificate chain and private key.
    pub(crate) identity: Option<(Pem, Pem)>,
    pub(crate) verify_server_name: bool,
    pub(crate) tls12: bool,
    pub(crate) tls13: bool,
}

impl Default for Tls {
    fn default() -> Self {
        let (tls12, tls13) = (true, true);
        Self { authorities: None, identity: None, verify_server_name: true, tls12, tls13 }
    }
}

impl Tls {
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities of this PEM file, and no others.
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authorities = Some(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// Trusts the authorities of this PEM text, and no others.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.authorities = Some(Pem::Memory(Secret::new(pem)));
        self
    }

    /// Shows a certificate (mutual TLS): PEM files of its chain, the client's own first, and of its
    /// private key, which must not be encrypted. Both may be the same file.
    #[must_use]
    pub fn identity_files(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let file = |path: &Path| Pem::File(path.to_owned());
        self.identity = Some((file(chain.as_ref()), file(key.as_ref())));
        self
    }

    /// As [`Tls::identity_files`], from memory.
    #[must_use]
    pub fn identity_pem(mut self, chain: impl Into<String>, key: impl Into<String>) -> Self {
        let memory = |pem| Pem::Memory(Secret::new(pem));
        self.identity = Some((memory(chain.into()), memory(key.into())));
        self
    }

    /// Refuses TLS 1.2.
    #[must_use]
    pub fn only_tls13(mut self) -> Self {
        self.tls12 = false;
        self
    }

    /// Takes any host for the one that was meant, as long as its certificate comes from a trusted
    /// authority: whoever has such a certificate can stand in the middle and read everything. For
    /// clusters whose certificates do not name their hosts. It is Kafka's empty
    /// `ssl.endpoint.identification.algorithm`.
    #[must_use]
    pub fn dangerously_skip_server_name_verification(mut self) -> Self {
        self.verify_server_name = false;
        self
    }
}
