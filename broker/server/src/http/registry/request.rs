//! What clients send to the registry: flags in the query, JSON in the body.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use mainstem_registry::{Deleted, Reference, SchemaText, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// Types of content that are JSON for a registry; clients also send none at all.
const CONTENT_TYPES: [&str; 4] = [
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
    "application/octet-stream",
];

/// The query of a request.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Flags(BTreeMap<String, String>);

impl Flags {
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.text(name).eq_ignore_ascii_case("true")
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn deleted(&self) -> Deleted {
        if self.is_set("deletedOnly") {
            Deleted::Only
        } else if self.is_set("deleted") {
            Deleted::Show
        } else {
            Deleted::Hide
        }
    }
}

/// A body that has arrived as a whole, within the limit, with a content type that may be JSON.
pub(super) struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if let Some(given) = request.headers().get(header::CONTENT_TYPE) {
            let given = given.to_str().unwrap_or_default();
            let kind = given.split(';').next().unwrap_or_default().trim();
            if !CONTENT_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
                return Err(Refusal::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
            }
        }
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => Err(Refusal::of_status(rejection.into_response().status())),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<ReferenceBody>>,
    #[serde(default)]
    id: Option<i32>,
    #[serde(default)]
    version: Option<i32>,
    #[serde(default)]
    metadata: Option<serde_json::Value>,
    #[serde(default)]
    rule_set: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ReferenceBody {
    name: String,
    subject: String,
    version: i32,
}

impl Body {
    /// A schema as registering, looking up and testing send it.
    pub(super) fn schema(&self) -> Result<SchemaText, Refusal> {
        let body: SchemaBody = self.parse()?;
        if body.metadata.is_some() || body.rule_set.is_some() {
            let message = "metadata and rule sets are not supported".into();
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, 42201, message));
        }
        let references = body.references.unwrap_or_default().into_iter().map(|reference| {
            let ReferenceBody { name, subject, version } = reference;
            Reference { name, subject, version: Version(version) }
        });
        Ok(SchemaText {
            schema: body.schema.unwrap_or_default(),
            schema_type: body.schema_type,
            references: references.collect(),
            id: body.id,
            version: body.version,
        })
    }

    /// The text under a key; missing counts as empty, and is refused as such by the registry.
    pub(super) fn text(&self, key: &str) -> Result<String, Refusal> {
        let object: BTreeMap<String, serde_json::Value> = self.parse()?;
        let text = object.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(text.to_owned())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.0).map_err(|error| {
            let message = format!("no valid JSON: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, 400, message)
        })
    }
}
