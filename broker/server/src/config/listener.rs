//! Addresses as settings write them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// `PLAINTEXT://host:port`, `host:port` or `:port`; one listener, without TLS.
pub(super) fn kafka_listener(text: &str) -> Result<SocketAddr, String> {
    address(plaintext(text)?)
}

/// `http://host:port`, `host:port` or `:port`; `off` for none.
pub(super) fn http_listener(text: &str) -> Result<Option<SocketAddr>, String> {
    if matches!(text, "off" | "none" | "") {
        return Ok(None);
    }
    address(text.strip_prefix("http://").unwrap_or(text)).map(Some)
}

/// The host and port that clients are told; the host is a name and stays one.
pub(super) fn advertised(text: &str) -> Result<(String, u16), String> {
    let (host, port) = split(plaintext(text)?)?;
    if host.is_empty() {
        return Err("names no host".into());
    }
    Ok((host.into(), port))
}

/// How a client finds this machine, given the address on which it listens.
pub(super) fn own_name(listening: IpAddr) -> String {
    if !listening.is_unspecified() {
        return listening.to_string();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "127.0.0.1".into() } else { name.into() }
}

fn plaintext(text: &str) -> Result<&str, String> {
    if text.contains(',') {
        return Err("names more than one listener".into());
    }
    match text.split_once("://") {
        None => Ok(text),
        Some(("PLAINTEXT", rest)) => Ok(rest),
        Some((protocol, _)) => Err(format!("the protocol {protocol} is not PLAINTEXT")),
    }
}

fn split(text: &str) -> Result<(&str, u16), String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("`{text}` is not host:port"));
    };
    let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = split(text)?;
    if host.is_empty() {
        return Ok(SocketAddr::from(([0, 0, 0, 0], port)));
    }
    let mut found =
        (host, port).to_socket_addrs().map_err(|error| format!("look up `{host}`: {error}"))?;
    found.next().ok_or_else(|| format!("`{host}` has no address"))
}
