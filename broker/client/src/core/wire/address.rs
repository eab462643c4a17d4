//! Where brokers listen.

use crate::error::ClientError;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `host:port[,host:port...]`; an IPv6 host stands in brackets.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, ClientError> {
        let parse = |part: &str| {
            let (host, port) = part.trim().rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = port.parse().ok()?;
            (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
        };
        text.split(',')
            .map(|part| {
                let wrong = || ClientError::Config(format!("bootstrap: {part:?} is not host:port"));
                parse(part).ok_or_else(wrong)
            })
            .collect()
    }
}
