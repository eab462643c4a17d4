//! A REST call with a JSON answer: what `schema` and `connector` share.
//!
//! An error answer of either API has `message`; it is passed on as it is, with the status beside it.

use reqwest::{Client, Method};
use serde_json::Value;
use std::time::Duration;

use crate::failure::Failure;

/// How long an answer may take: a connector's validation may compile a component.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Calls `method base/path` and returns the answer's JSON, `Null` when it is empty.
pub(crate) async fn call(
    method: Method,
    base: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let url = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    let mut request = Client::new().request(method, &url).timeout(TIMEOUT);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.map_err(|error| Failure::doing(&url, &error))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| Failure::doing(&url, &error))?;
    if !status.is_success() {
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body["message"].as_str().map(str::to_owned))
            .unwrap_or(text);
        return Err(Failure::new(format!("{url}: {status}: {message}")));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| Failure::doing(&url, &error))
}

/// A part of a path, safe whatever the name holds.
pub(crate) fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
