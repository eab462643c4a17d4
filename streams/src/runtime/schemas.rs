//! Schemas: the registry on behalf of the codecs, which do no input or output themselves.
//!
//! Every codec with a schema is registered under the subject of each topic that it writes
//! (`<topic>-key`, `<topic>-value`; a store's codecs under its changelog) before any task runs.
//! What other writers have used is fetched before their records reach a task.

use std::sync::Arc;
use std::time::Duration;

use mainstem_client::ConsumerRecord;
use mainstem_client::typed::registry::{self, RegistryClient, SchemaText};
use tokio::time::Instant;

use super::Config;
use crate::codec::{SchemaId, SchemaUse};
use crate::error::StreamsError;
use crate::task::Application;
use crate::topology::SchemaUseAt;

/// How long a registry that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A codec at a topic.
struct Use {
    topic: String,
    is_key: bool,
    schema: Arc<dyn SchemaUse>,
}

/// The registry and all codecs that need it.
pub(super) struct Registry {
    client: RegistryClient,
    uses: Vec<Use>,
}

/// Registers all codecs that have a schema; `None` if there are none.
pub(super) async fn register(
    application: &Application,
    config: &Config,
) -> Result<Option<Registry>, StreamsError> {
    let wanted = application.topology.schema_uses(&application.application_id);
    if wanted.is_empty() {
        return Ok(None);
    }
    let Some(url) = &config.schema_registry else {
        let reason = "schema_registry: the topology has codecs with schemas";
        return Err(StreamsError::Config(reason.to_owned()));
    };
    let client = RegistryClient::new(url);
    let mut uses = Vec::new();
    for SchemaUseAt { topic, is_written, need } in wanted {
        if is_written {
            let subject = format!("{topic}-{}", if need.is_key { "key" } else { "value" });
            let text = SchemaText::avro(need.schema.definition());
            let id = patiently(&subject, || client.register(&subject, &text)).await?;
            need.schema.registered(SchemaId(id.0));
        }
        uses.push(Use { topic, is_key: need.is_key, schema: need.schema });
    }
    Ok(Some(Registry { client, uses }))
}

impl Registry {
    /// Fetches what the codecs of the topic do not know yet of these records.
    pub(super) async fn resolve(
        &self,
        topic: &str,
        records: &[ConsumerRecord],
    ) -> Result<(), StreamsError> {
        for user in self.uses.iter().filter(|user| user.topic == topic) {
            for record in records {
                let bytes = if user.is_key { &record.key } else { &record.value };
                let missing = bytes.as_ref().and_then(|bytes| user.schema.missing(bytes));
                if let Some(id) = missing {
                    self.teach(id, std::slice::from_ref(user)).await?;
                }
            }
        }
        Ok(())
    }

    /// Fetches a schema for all codecs: one was met where it could not be seen before.
    pub(super) async fn resolve_everywhere(&self, id: SchemaId) -> Result<(), StreamsError> {
        self.teach(id, &self.uses).await
    }

    async fn teach(&self, id: SchemaId, uses: &[Use]) -> Result<(), StreamsError> {
        let what = format!("schema {}", id.0);
        let text = patiently(&what, || self.client.by_id(registry::SchemaId(id.0))).await?;
        for user in uses {
            if let Err(source) = user.schema.learn(id, &text.text) {
                return Err(StreamsError::codec(format!("{what} of {}", user.topic), source));
            }
        }
        Ok(())
    }
}

/// Calls until there is an answer; a refusal is one.
async fn patiently<T, F>(what: &str, call: impl Fn() -> F) -> Result<T, StreamsError>
where
    F: Future<Output = Result<T, registry::RegistryError>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_retriable() && Instant::now() < deadline => {
                tracing::debug!(what, %error, "asking the schema registry again");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            Err(error) => {
                let context = format!("ask the schema registry for {what}");
                return Err(StreamsError::Client { context, reason: error.to_string() });
            }
        }
    }
}
