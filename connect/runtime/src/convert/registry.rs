//! The two questions that converters ask a schema registry: which id has this schema, and which
//! schema has this id.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::TaskError;

/// One request's patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A registry that speaks Confluent's REST paths.
pub(crate) struct SchemaRegistry {
    base: String,
    http: reqwest::Client,
}

impl SchemaRegistry {
    pub(crate) fn new(url: &str) -> Result<SchemaRegistry, String> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(SchemaRegistry { base: url.trim_end_matches('/').to_string(), http })
    }

    /// Registers a schema under a subject, or finds it there.
    pub(crate) async fn register(
        &self,
        subject: &str,
        definition: &[u8],
    ) -> Result<u32, TaskError> {
        let url = format!("{}/subjects/{}/versions", self.base, escape(subject));
        let body = json!({ "schema": String::from_utf8_lossy(definition) });
        let operation = format!("register the schema of {subject}");
        let (status, answer) = self.ask(self.http.post(url).json(&body), &operation).await?;
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        match (status, id) {
            (200, Some(id)) => Ok(id),
            _ => Err(refused(&operation, status, &answer)),
        }
    }

    /// The schema of this id; `None` when the registry does not know it.
    pub(crate) async fn definition(&self, id: u32) -> Result<Option<String>, TaskError> {
        let url = format!("{}/schemas/ids/{id}", self.base);
        let operation = format!("look up schema {id}");
        let (status, answer) = self.ask(self.http.get(url), &operation).await?;
        match (status, answer["schema"].as_str()) {
            (200, Some(definition)) => Ok(Some(definition.to_string())),
            (404, _) => Ok(None),
            _ => Err(refused(&operation, status, &answer)),
        }
    }

    async fn ask(
        &self,
        request: reqwest::RequestBuilder,
        operation: &str,
    ) -> Result<(u16, Value), TaskError> {
        let failed = |error: reqwest::Error| TaskError::passing(format!("{operation}: {error}"));
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(failed)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

/// The registry said no; whether it will say yes later is in the status.
fn refused(operation: &str, status: u16, answer: &Value) -> TaskError {
    let message = answer["message"].as_str().unwrap_or("no reason given");
    let trace = format!("{operation}: the registry answers {status}: {message}");
    if 500 <= status { TaskError::passing(trace) } else { TaskError::lasting(trace) }
}

fn escape(subject: &str) -> String {
    let mut escaped = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
