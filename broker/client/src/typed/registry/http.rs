//! Requests and responses of the registry: JSON over HTTP, with limits.

use super::RegistryError;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Within this the registry answers or is not available.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest response that is read. Schemas have kilobytes; lists of subjects may be long.
const RESPONSE_BYTES_MAX: usize = 16 << 20;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The connection to one registry.
#[derive(Debug)]
pub(super) struct Http {
    /// What could not be set up is said by every request.
    client: Result<(Client, Url), String>,
}

/// The body of a refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error_code: i32,
    message: String,
}

impl Http {
    pub(super) fn new(url: &str) -> Http {
        Http { client: set_up(url) }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, RegistryError> {
        let request = self.request(Method::GET, path)?;
        answer(request).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, RegistryError> {
        let request = self.request(Method::POST, path)?;
        answer(request.header("content-type", CONTENT_TYPE).body(body.to_string())).await
    }

    /// A request for the segments of a path; each is escaped, so a subject may have slashes.
    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, RegistryError> {
        let (client, url) =
            self.client.as_ref().map_err(|reason| RegistryError::Malformed(reason.clone()))?;
        let mut url = url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(client.request(method, url).header("accept", CONTENT_TYPE))
    }
}

fn set_up(url: &str) -> Result<(Client, Url), String> {
    let parsed = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
    if parsed.scheme() != "http" {
        return Err(format!("{url} is not an http URL"));
    }
    let client = Client::builder().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
    Ok((client, parsed))
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, RegistryError> {
    let unavailable = |error: reqwest::Error| RegistryError::Unavailable(error.to_string());
    let response = request.send().await.map_err(unavailable)?;
    let status = response.status().as_u16();
    let body = read_body(response).await?;
    if status < 300 {
        return serde_json::from_slice(&body)
            .map_err(|error| RegistryError::Malformed(error.to_string()));
    }
    let Refusal { error_code: code, mut message } =
        serde_json::from_slice(&body).unwrap_or_default();
    if message.is_empty() {
        message = format!("status {status}");
    }
    Err(match status {
        404 if code != 0 => RegistryError::NotFound { code, message },
        404 => RegistryError::Malformed("there is no such path".to_string()),
        409 => RegistryError::Incompatible { code, message },
        400..=499 => RegistryError::Refused { code, message },
        _ => RegistryError::Unavailable(message),
    })
}

/// Reads a body piece by piece, up to the limit.
async fn read_body(mut response: Response) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() <= RESPONSE_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let reason = format!("it is longer than {RESPONSE_BYTES_MAX} bytes");
                return Err(RegistryError::Malformed(reason));
            }
            Err(error) => return Err(RegistryError::Unavailable(error.to_string())),
        }
    }
}
