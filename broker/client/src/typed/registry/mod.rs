//! The client of a schema registry that speaks Confluent's REST API.
//!
//! Invariants:
//! - What an id means never changes, so schemas by id are asked for once and kept.
//! - A response has a size limit, a request a time limit, a cache a number of entries.
//!
//! Deliberately absent: retries (the caller knows whether to wait or to give up, and the error
//! says which), TLS, and a cache of what may change, such as the latest version.

mod error;
mod http;
mod schema;

pub use error::RegistryError;
pub use schema::{RegisteredSchema, SchemaId, SchemaKind, SchemaReference, SchemaText};

use http::Http;
use parking_lot::Mutex;
use schema::{IdAnswer, SchemaAnswer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most schemas that are kept. A program meets tens of them; this is against a topic that
/// names a new id in every record.
const CACHE_ENTRIES_MAX: usize = 10_000;

/// The most schemas that one schema may refer to, directly or not.
const REFERENCES_MAX: usize = 100;

/// A registry. Clones share connections and cache.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    by_id: Mutex<BTreeMap<SchemaId, Arc<SchemaText>>>,
    /// What was registered by this client.
    registered: Mutex<BTreeMap<(String, SchemaText), SchemaId>>,
}

impl RegistryClient {
    /// A client of the registry at `url`, such as `http://127.0.0.1:8081`. Nothing is asked yet.
    pub fn new(url: &str) -> RegistryClient {
        let http = Http::new(url);
        let (by_id, registered) = Default::default();
        RegistryClient { shared: Arc::new(Shared { http, by_id, registered }) }
    }

    /// Registers a schema under a subject, unless it is there already, and returns its id.
    pub async fn register(
        &self,
        subject: &str,
        schema: &SchemaText,
    ) -> Result<SchemaId, RegistryError> {
        let key = (subject.to_owned(), schema.clone());
        if let Some(id) = self.shared.registered.lock().get(&key) {
            return Ok(*id);
        }
        let path = ["subjects", subject, "versions"];
        let answer: IdAnswer = self.shared.http.post(&path, &schema.to_json()).await?;
        insert_bounded(&mut self.shared.registered.lock(), key, answer.id);
        Ok(answer.id)
    }

    /// Finds a schema under a subject without registering it.
    pub async fn lookup(
        &self,
        subject: &str,
        schema: &SchemaText,
    ) -> Result<RegisteredSchema, RegistryError> {
        let path = ["subjects", subject];
        let answer: SchemaAnswer = self.shared.http.post(&path, &schema.to_json()).await?;
        answer.into_registered()
    }

    /// The schema of an id.
    pub async fn by_id(&self, id: SchemaId) -> Result<Arc<SchemaText>, RegistryError> {
        if let Some(schema) = self.shared.by_id.lock().get(&id) {
            return Ok(Arc::clone(schema));
        }
        let number = id.to_string();
        let answer: SchemaAnswer = self.shared.http.get(&["schemas", "ids", &number]).await?;
        let schema = Arc::new(answer.into_text()?);
        insert_bounded(&mut self.shared.by_id.lock(), id, Arc::clone(&schema));
        Ok(schema)
    }

    /// The latest version of a subject.
    pub async fn latest(&self, subject: &str) -> Result<RegisteredSchema, RegistryError> {
        self.version_at(subject, "latest").await
    }

    /// A version of a subject.
    pub async fn version(
        &self,
        subject: &str,
        version: i32,
    ) -> Result<RegisteredSchema, RegistryError> {
        self.version_at(subject, &version.to_string()).await
    }

    async fn version_at(
        &self,
        subject: &str,
        version: &str,
    ) -> Result<RegisteredSchema, RegistryError> {
        let path = ["subjects", subject, "versions", version];
        let answer: SchemaAnswer = self.shared.http.get(&path).await?;
        answer.into_registered()
    }

    /// All subjects.
    pub async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        self.shared.http.get(&["subjects"]).await
    }

    /// The versions of a subject.
    pub async fn versions(&self, subject: &str) -> Result<Vec<i32>, RegistryError> {
        self.shared.http.get(&["subjects", subject, "versions"]).await
    }

    /// The texts of all schemas that `schema` refers to, those first that others refer to.
    pub async fn referenced(&self, schema: &SchemaText) -> Result<Vec<String>, RegistryError> {
        // Depth first; a reference is taken up once all that it refers to has been.
        let mut found: Vec<(SchemaReference, String)> = Vec::new();
        let mut open: Vec<(SchemaReference, Option<SchemaText>)> =
            schema.references.iter().rev().map(|r| (r.clone(), None)).collect();
        let mut asked = 0;
        while let Some((reference, text)) = open.pop() {
            if found.iter().any(|(known, _)| *known == reference) {
                continue;
            }
            if let Some(text) = text {
                found.push((reference, text.text));
                continue;
            }
            asked += 1;
            if asked > REFERENCES_MAX {
                let reason = format!("the schema refers to more than {REFERENCES_MAX} others");
                return Err(RegistryError::Malformed(reason));
            }
            let text = self.version(&reference.subject, reference.version).await?.schema;
            let deeper = text.references.clone();
            open.push((reference, Some(text)));
            open.extend(deeper.into_iter().rev().map(|deeper| (deeper, None)));
        }
        Ok(found.into_iter().map(|(_, text)| text).collect())
    }
}

/// Inserts into a cache; a full one gives up its first entry.
fn insert_bounded<K: Ord, V>(cache: &mut BTreeMap<K, V>, key: K, value: V) {
    if cache.len() >= CACHE_ENTRIES_MAX {
        cache.pop_first();
    }
    cache.insert(key, value);
}
