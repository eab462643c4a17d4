//! An HTTP client of a few lines: one request, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::PATIENCE;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

pub(crate) fn call(base: &str, method: &str, path: &str, body: &str) -> Answer {
    call_as(base, method, path, "application/vnd.schemaregistry.v1+json", body)
}

pub(crate) fn call_as(
    base: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> Answer {
    let host = base.strip_prefix("http://").expect("a base URL");
    let mut stream = TcpStream::connect(host).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("receive");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
    });
    Answer {
        status: status.expect("a status"),
        content_type: content_type.unwrap_or_default(),
        body: body.into(),
    }
}
