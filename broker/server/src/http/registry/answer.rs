//! Answers of the registry as JSON.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use mainstem_registry::{Reference, RegistryError, Response, SchemaVersion};
use serde::Serialize;
use serde_json::{Map, Value, json as value};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Any value as an answer.
pub(super) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> HttpResponse {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A bad answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: i32,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: i32, message: String) -> Self {
        Self { status, code, message }
    }

    /// HTTP says it all.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self::new(status, i32::from(status.as_u16()), format!("HTTP {status}"))
    }

    /// The broker could not answer, for a reason of its own.
    pub(super) fn of_broker(reason: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, reason)
    }
}

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        let status = StatusCode::from_u16(error.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, error.code(), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> HttpResponse {
        json(self.status, &value!({ "error_code": self.code, "message": self.message }))
    }
}

/// A good answer in its usual form.
pub(super) fn show(response: &Response) -> HttpResponse {
    let body = match response {
        Response::Subjects(names) => value!(names),
        Response::Versions(versions) => versions.iter().map(|version| version.0).collect(),
        Response::Schema(schema) => Value::Object(version_of(schema)),
        Response::SchemaById(schema) => Value::Object(schema_of(schema)),
        Response::Ids(ids) => ids.iter().map(|id| id.0).collect(),
        Response::SubjectVersions(uses) => uses
            .iter()
            .map(|(subject, version)| value!({ "subject": subject, "version": version.0 }))
            .collect(),
        Response::Registered { id } => value!({ "id": id.0 }),
        Response::VersionDeleted(version) => value!(version.0),
        Response::Compatibility(level) => value!({ "compatibilityLevel": level.name() }),
        Response::CompatibilitySet(level) => value!({ "compatibility": level.name() }),
        Response::Mode(mode) => value!({ "mode": mode.name() }),
        Response::CompatibilityTested { is_compatible, .. } => {
            value!({ "is_compatible": is_compatible })
        }
    };
    json(StatusCode::OK, &body)
}

/// The schema itself and nothing around it.
pub(super) fn show_text(response: &Response) -> HttpResponse {
    match response {
        Response::Schema(schema) | Response::SchemaById(schema) => {
            let text = schema.schema.to_string();
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
        }
        other => show(other),
    }
}

/// The subjects among uses of an id, each once; uses come sorted.
pub(super) fn show_subjects_only(response: &Response) -> HttpResponse {
    match response {
        Response::SubjectVersions(uses) => {
            let mut subjects: Vec<&str> =
                uses.iter().map(|(subject, _)| subject.as_str()).collect();
            subjects.dedup();
            json(StatusCode::OK, &subjects)
        }
        other => show(other),
    }
}

/// Whether a schema fits, and on request why not.
pub(super) fn show_test(response: &Response, is_verbose: bool) -> HttpResponse {
    match response {
        Response::CompatibilityTested { is_compatible, messages } if is_verbose => {
            let body = value!({ "is_compatible": is_compatible, "messages": messages });
            json(StatusCode::OK, &body)
        }
        other => show(other),
    }
}

fn version_of(schema: &SchemaVersion) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("subject".into(), schema.subject.as_str().into());
    object.insert("version".into(), schema.version.0.into());
    object.insert("id".into(), schema.id.0.into());
    object.extend(schema_of(schema));
    object
}

/// The type is named only when it is not the usual one; clients of old do not know it.
fn schema_of(schema: &SchemaVersion) -> Map<String, Value> {
    let mut object = Map::new();
    if &*schema.schema_type != "AVRO" {
        object.insert("schemaType".into(), (&*schema.schema_type).into());
    }
    if !schema.references.is_empty() {
        let references = schema.references.iter().map(|reference| {
            let Reference { name, subject, version } = reference;
            value!({ "name": name, "subject": subject, "version": version.0 })
        });
        object.insert("references".into(), references.collect());
    }
    object.insert("schema".into(), (&*schema.schema).into());
    object
}
