//! Answers: JSON bodies, and errors as Kafka Connect writes them.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::definition::ConfigMap;
use crate::error::Refusal;

pub(super) type Answered = Result<Response, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "error_code": self.status, "message": self.message });
        (status, Json(body)).into_response()
    }
}

pub(super) fn ok(body: Value) -> Response {
    Json(body).into_response()
}

pub(super) fn with_status(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// A body as a JSON object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::new(400, "The body must be a JSON object")),
        Err(error) => Err(Refusal::new(400, format!("The body is not JSON: {error}"))),
    }
}

/// A JSON object as a configuration; numbers and booleans are taken as they are written, null
/// leaves the key out.
pub(super) fn config(object: &Map<String, Value>) -> Result<ConfigMap, Refusal> {
    let mut config = ConfigMap::new();
    for (key, value) in object {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                let message = format!("Invalid value for configuration {key}: must be a text");
                return Err(Refusal::new(400, message));
            }
        };
        config.insert(key.clone(), text);
    }
    Ok(config)
}
