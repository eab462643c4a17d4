//! Hosting the schema registry: its records go to `_schemas`, its answers wait for them.
//!
//! The registry applies its records when they are appended and answers when they are durable; a
//! question waits as well, since it may speak of a record that is not durable yet. The topic is
//! made by the first command that writes.

use super::{ControllerThen, SeatThen, batch};
use crate::ask::PartitionKey;
use crate::cluster::SCHEMA_TOPIC;
use crate::command::LocalReply;
use crate::effect::Effect;
use crate::event::CommandToken;
use crate::node::ShardNode;
use crate::partition::Then;
use mainstem_metadata::Command as MetadataCommand;
use mainstem_platform::Now;
use mainstem_protocol::messages::CreateTopicsResponse;
use mainstem_protocol::{ErrorCode, Offset, PartitionIndex};
use mainstem_registry::{Command, Decision, Reply};

impl ShardNode {
    /// A command of the HTTP side.
    pub(crate) fn handle_registry(&mut self, now: Now, token: CommandToken, command: Command) {
        let Some(seat) = self.seat.as_ref() else {
            self.registry_failed(token, "the registry is on shard zero".to_owned());
            return;
        };
        let key = self.schema_key();
        let decision = seat.registry.decide(command.clone());
        if !decision.records.is_empty() && key.is_none() {
            let topic = MetadataCommand::CreateTopics(self.internal_topic(SCHEMA_TOPIC));
            self.decide(now, &topic, ControllerThen::Registry { token, command });
            return;
        }
        let Some(key) = key else {
            self.answer_registry(token, decision.reply);
            return;
        };
        if let Err(error) = self.write_schemas(now, &key, &decision) {
            self.registry_failed(token, error);
            return;
        }
        let end = self.partitions.get(&key).map(|partition| partition.log.log_end_offset());
        let then = SeatThen::Registry { token, reply: decision.reply };
        let end = end.unwrap_or(Offset::ZERO);
        self.when_committed(&key, end, Then::Seat(Box::new(then)));
    }

    fn schema_key(&self) -> Option<PartitionKey> {
        let topic = self.cluster.as_ref()?.image.topic(SCHEMA_TOPIC)?;
        Some(PartitionKey { topic: topic.id, partition: PartitionIndex(0) })
    }

    fn write_schemas(
        &mut self,
        now: Now,
        key: &PartitionKey,
        decision: &Decision,
    ) -> Result<(), String> {
        if decision.records.is_empty() {
            return Ok(());
        }
        let pairs =
            decision.records.iter().map(|record| (Some(&record.key), record.value.as_ref()));
        let batch = batch(now, pairs, None).map_err(|error| error.name().to_owned())?;
        self.append(now, key, batch)
            .map_err(|(error, message)| message.unwrap_or_else(|| error.name().to_owned()))?;
        let Some(seat) = self.seat.as_mut() else { return Ok(()) };
        for record in &decision.records {
            if let Err(error) = seat.registry.apply(&record.key, record.value.as_deref()) {
                tracing::error!(%error, "the registry cannot read what it wrote");
            }
        }
        Ok(())
    }

    /// The topic is there, or cannot be made.
    pub(super) fn registry_topic_made(
        &mut self,
        now: Now,
        token: CommandToken,
        command: Command,
        response: &CreateTopicsResponse,
    ) {
        // Made by another command meanwhile is as good.
        if self.schema_key().is_some() {
            self.handle_registry(now, token, command);
            return;
        }
        let error = response.topics.first().map_or(ErrorCode::NONE, |topic| topic.error_code);
        self.registry_failed(token, format!("make {SCHEMA_TOPIC}: {}", error.name()));
    }

    pub(super) fn answer_registry(&mut self, token: CommandToken, reply: Reply) {
        self.effects.push_back(Effect::CommandReply { token, reply: LocalReply::Registry(reply) });
    }

    pub(super) fn registry_failed(&mut self, token: CommandToken, reason: String) {
        self.effects
            .push_back(Effect::CommandReply { token, reply: LocalReply::Failed { reason } });
    }
}
