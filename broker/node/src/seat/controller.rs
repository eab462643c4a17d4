//! The controller: metadata is decided here, written to `__cluster_metadata-0`, and published to
//! all shards when it is durable.
//!
//! Words: the *decided* image has every decision applied; the *published* view has those that are
//! past the high watermark of the metadata log.
//!
//! Invariants:
//! - Decisions are taken on the decided image, so two requests for one topic cannot both win.
//! - Requests are answered from the published view, so no client comes to rely upon a topic that
//!   a power cut forgets.
//! - Views reach the shards before the answers that speak of them.
//! - The leader epoch of the metadata log is the number of this run.

use super::identity::Identity;
use super::{Seat, SeatThen, batch, snapshot};
use crate::api::{
    CoordinatorsWait, DeleteWait, MetadataWait, TopicsWait, alter_configs, create_partitions,
    incremental_alter_configs,
};
use crate::ask::{PartitionKey, Ticket};
use crate::cluster::{
    ClusterView, GROUP_TOPIC, INTERNAL_TOPICS, METADATA_TOPIC, SCHEMA_TOPIC, TRANSACTION_TOPIC,
};
use crate::config::{FlushPolicy, NodeConfig};
use crate::effect::Effect;
use crate::event::CommandToken;
use crate::log_dirs::LogDirIndex;
use crate::node::{NodeError, ShardNode};
use crate::partition::{FlushRule, Partition, Sorted, Then, open_log, sort_folders};
use crate::placement::Placement;
use mainstem_coordinator::group::{GroupConfig, GroupCoordinator};
use mainstem_coordinator::transaction::{TransactionConfig, TransactionCoordinator};
use mainstem_metadata::config::{FlushPolicy as TopicFlushPolicy, TopicSettings};
use mainstem_metadata::{
    Command, Configs, ControllerSettings, Image, MetadataRecord, Reply, decide,
};
use mainstem_platform::{Now, Random};
use mainstem_protocol::messages::CreateTopicsRequest;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};
use mainstem_registry::Registry;
use mainstem_storage::{CleanupPolicy, LogConfig, Shutdown};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// The metadata log among the partitions. Kafka gives its topic this id.
pub(crate) const METADATA_KEY: PartitionKey = PartitionKey {
    topic: TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    partition: PartitionIndex(0),
};

/// The metadata log's folder in the first log directory.
pub(super) const METADATA_FOLDER: &str = "__cluster_metadata-0";

/// Segments of the metadata log are small, so that a snapshot lets most of them go.
const METADATA_SEGMENT_BYTES: u32 = 16 << 20;

/// Who goes on when a decision is durable.
#[derive(Debug)]
pub(crate) enum ControllerThen {
    /// CreateTopics answers.
    Created(TopicsWait),
    /// DeleteTopics answers.
    Deleted(DeleteWait),
    /// CreatePartitions answers.
    PartitionsCreated(Ticket),
    /// AlterConfigs answers.
    ConfigsReplaced(Ticket),
    /// IncrementalAlterConfigs answers.
    ConfigsChanged(Ticket),
    /// Metadata answers, with the topics that it made.
    Metadata(MetadataWait),
    /// FindCoordinator answers, with the internal topic that it made.
    Coordinators(CoordinatorsWait),
    /// The transaction coordinator gets its block of producer ids.
    ProducerIds,
    /// UpdateFeatures answers.
    FeaturesUpdated(Ticket),
    /// A command of the registry is taken again, with the topic that it made.
    Registry { token: CommandToken, command: mainstem_registry::Command },
}

/// The metadata log keeps what no snapshot holds (see `snapshot`).
fn metadata_log_config() -> LogConfig {
    LogConfig {
        retention_ms: None,
        retention_bytes: None,
        cleanup_policy: CleanupPolicy { delete: false, compact: false },
        segment_bytes: METADATA_SEGMENT_BYTES,
        segment_ms: i64::MAX,
        segment_index_bytes: 1 << 20,
        ..LogConfig::default()
    }
}

impl ShardNode {
    /// The broker's defaults of topic settings as they hold now, its flush policy among them.
    pub(crate) fn topic_defaults(&self) -> BTreeMap<String, String> {
        topic_defaults(&self.config)
    }

    /// The same as the broker was started with.
    pub(crate) fn topic_defaults_at_start(&self) -> BTreeMap<String, String> {
        topic_defaults(&self.config_at_start)
    }

    /// The metadata log is synced as a topic that says nothing of its own.
    pub(super) fn metadata_flush_rule(&self) -> FlushRule {
        FlushRule::from(&TopicSettings::resolve(&Configs::new(), &self.topic_defaults()))
    }

    /// Opens everything that only shard zero has.
    pub(crate) fn open_seat(&mut self, now: Now) -> Result<(), NodeError> {
        let identity = Identity::open(&*self.disk, &self.config, &mut self.random)?;
        for (dir, reason) in &identity.offline {
            self.fail_dir(*dir, reason);
        }
        let first = LogDirIndex::FIRST;
        let dir = self.dirs.path(first).join(METADATA_FOLDER);
        self.refuse_lost_metadata(&identity, &dir)?;
        let shutdown = match identity.closed_cleanly[first.place()].contains(METADATA_FOLDER) {
            true => Shutdown::Clean,
            false => Shutdown::Unclean,
        };
        let log = open_log(&self.disk, &dir, metadata_log_config(), shutdown, now)?;
        let damaged = |problem| NodeError::Log { path: dir.display().to_string(), problem };
        let (decided, tail_bytes) = snapshot::load(&*self.disk, &log).map_err(damaged)?;
        let epoch = LeaderEpoch(identity.run);
        let flush = self.metadata_flush_rule();
        let name = Arc::from(METADATA_TOPIC);
        self.partitions.adopt(Partition::new(name, METADATA_KEY, first, log, epoch, flush));
        let tag = identity.run.to_string();
        let sorted = sort_folders(&*self.disk, &self.dirs, &decided, &tag);
        let Sorted { folders, removals } =
            sorted.map_err(|error| NodeError::LogDir(format!("sort folders: {error}")))?;
        if !removals.is_empty() {
            self.effects.push_back(Effect::Remove { paths: removals });
        }
        let placement = Placement::found(&decided, &folders, &self.dirs);
        let mut seat = self.make_seat(identity, decided, placement);
        seat.bytes_since_snapshot = tail_bytes;
        self.seat = Some(Box::new(seat));
        self.restart_broker(now)?;
        let view = self.take_view();
        self.follow(now, view);
        self.snapshot_metadata(now.wall_ms);
        let reason = self.effects.iter().find_map(|effect| match effect {
            Effect::Halt { reason } => Some(reason.clone()),
            _ => None,
        });
        reason.map_or(Ok(()), |reason| Err(NodeError::LogDir(reason)))
    }

    /// Partitions without the metadata that explains them: somebody must look.
    fn refuse_lost_metadata(&self, identity: &Identity, dir: &Path) -> Result<(), NodeError> {
        let refuse = |why: String| Err(NodeError::LogDir(why));
        match self.disk.exists(dir) {
            Ok(true) => Ok(()),
            Ok(false) if identity.is_new || identity.run == 1 => Ok(()),
            // A start that died before its first record has no folder either, nor any topics.
            Ok(false) => {
                for at in self.dirs.online() {
                    let entries = self.disk.list(self.dirs.path(at));
                    let entries = entries.map_err(|error| NodeError::LogDir(error.to_string()))?;
                    if entries.iter().any(|entry| entry.is_dir) {
                        return refuse(format!("{} is gone, but logs are here", dir.display()));
                    }
                }
                Ok(())
            }
            Err(error) => refuse(format!("look for {}: {error}", dir.display())),
        }
    }

    fn make_seat(&mut self, identity: Identity, decided: Image, placement: Placement) -> Seat {
        let config = Arc::clone(&self.config);
        let settings = ControllerSettings {
            brokers: vec![config.node_id],
            default_partitions: config.num_partitions,
            default_replication_factor: 1,
            partitions_per_topic_max: config.limits.topic_partitions_max,
            partitions_max: config.limits.partitions_max,
            broker_defaults: self.topic_defaults_at_start(),
            group_settings: config.group_settings(),
            internal_topics: &INTERNAL_TOPICS,
            ..ControllerSettings::default()
        };
        let count = |topic: &str, otherwise: i32| {
            let made = decided.topic(topic).map(|topic| topic.partitions.len());
            made.and_then(|count| i32::try_from(count).ok()).unwrap_or(otherwise)
        };
        let offsets_partitions = count(GROUP_TOPIC, config.offsets_topic_partitions);
        let groups = GroupConfig {
            offsets_partitions,
            initial_rebalance_delay: config.group_initial_rebalance_delay,
            session_timeout_min: config.group_min_session_timeout,
            session_timeout_max: config.group_max_session_timeout,
            group_size_max: config.group_size_max,
            offset_metadata_bytes_max: config.offset_metadata_bytes_max,
            offsets_retention: config.offsets_retention,
            consumer: config.consumer_groups.clone(),
            ..GroupConfig::default()
        };
        let transactions = TransactionConfig {
            state_partitions: count(TRANSACTION_TOPIC, config.transaction_topic_partitions),
            offsets_partitions,
            transaction_timeout_max: config.transaction_max_timeout,
            transactional_id_expiration: config.transactional_id_expiration,
            ..TransactionConfig::default()
        };
        Seat {
            identity,
            decided,
            settings,
            placement,
            bytes_since_snapshot: 0,
            groups: GroupCoordinator::new(groups, self.random.next_u64()),
            transactions: TransactionCoordinator::new(transactions),
            registry: Registry::new(),
            routes: BTreeMap::new(),
            markers: BTreeMap::new(),
            resumed: VecDeque::new(),
        }
    }

    /// Gives the partitions their leader epoch of this run, before anybody is served.
    fn restart_broker(&mut self, now: Now) -> Result<(), NodeError> {
        let failed = |problem: String| NodeError::Log { path: METADATA_TOPIC.to_owned(), problem };
        let Some(seat) = self.seat.as_ref() else { return Ok(()) };
        let command = Command::RestartBroker { broker: self.config.node_id };
        let decision = decide(&seat.decided, &seat.settings, &mut self.random, &command);
        if !decision.records.is_empty()
            && let Err(error) = self.write_metadata(now, &decision.records)
        {
            return Err(failed(format!("write the new leader epochs: {}", error.name())));
        }
        let end = self.sync_metadata().map_err(failed)?;
        // The first view is taken from the decided image.
        self.commit(now, &METADATA_KEY, end);
        Ok(())
    }

    /// Makes the metadata log durable, here and now; says where it ends.
    pub(super) fn sync_metadata(&mut self) -> Result<Offset, String> {
        let Some(partition) = self.partitions.get_mut(&METADATA_KEY) else {
            return Ok(Offset::ZERO);
        };
        if let Some(task) = partition.log.unsynced() {
            task.run(&*self.disk).map_err(|error| format!("sync: {error}"))?;
            partition.log.synced(task.receipt).map_err(|error| error.to_string())?;
        }
        Ok(partition.log.log_end_offset())
    }

    fn take_view(&mut self) -> ClusterView {
        let seat = self.seat.as_mut().expect("shard zero has a seat");
        seat.placement.follow(&seat.decided, &self.dirs);
        let log = self.partitions.get(&METADATA_KEY).map(|partition| &partition.log);
        ClusterView {
            cluster_id: Arc::clone(&seat.identity.cluster_id),
            run: seat.identity.run,
            image: Arc::new(seat.decided.clone()),
            offset: log.map_or(Offset::ZERO, |log| log.high_watermark()),
            placement: seat.placement.clone(),
            closed_cleanly: Arc::clone(&seat.identity.closed_cleanly),
        }
    }

    /// Decides a command and writes its records; `then` goes on when they are durable.
    pub(crate) fn decide(&mut self, now: Now, command: &Command, then: ControllerThen) {
        let Some(seat) = self.seat.as_mut() else { return };
        let decision = decide(&seat.decided, &seat.settings, &mut self.random, command);
        let (mut records, mut reply) = (decision.records, decision.reply);
        if !records.is_empty()
            && let Err(error) = self.write_metadata(now, &records)
        {
            records.clear();
            refuse_all(&mut reply, error);
        }
        let end =
            self.partitions.get(&METADATA_KEY).map(|partition| partition.log.log_end_offset());
        let then = SeatThen::Decided { records, reply, then };
        let end = end.unwrap_or(Offset::ZERO);
        self.when_committed(&METADATA_KEY, end, Then::Seat(Box::new(then)));
    }

    fn write_metadata(&mut self, now: Now, records: &[MetadataRecord]) -> Result<(), ErrorCode> {
        let mut values = Vec::with_capacity(records.len());
        for record in records {
            values.push(record.encode().map_err(|error| {
                tracing::error!(%error, "encode a metadata record");
                ErrorCode::UNKNOWN_SERVER_ERROR
            })?);
        }
        let batch = batch(now, values.iter().map(|value| (None, Some(value))), None)?;
        let size_bytes = batch.len() as u64;
        self.append(now, &METADATA_KEY, batch).map_err(|(error, _)| error)?;
        let Some(seat) = self.seat.as_mut() else { return Ok(()) };
        seat.bytes_since_snapshot += size_bytes;
        for record in records {
            if let Err(error) = seat.decided.apply(record) {
                self.halt(format!("a decision does not fit its own image: {error}"));
                return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
            }
        }
        Ok(())
    }

    /// A decision is durable: it is published, then answered.
    pub(super) fn handle_decided(
        &mut self,
        now: Now,
        records: &[MetadataRecord],
        reply: Reply,
        then: ControllerThen,
    ) {
        if !records.is_empty() {
            self.publish(now, records);
        }
        if self.over {
            // The shard could not follow its own decision: nobody is answered any more.
            return;
        }
        match (then, reply) {
            (ControllerThen::Created(wait), Reply::CreateTopics(response)) => {
                wait.answer(self, response);
            }
            (ControllerThen::Deleted(wait), Reply::DeleteTopics(response)) => {
                wait.answer(self, response);
            }
            (ControllerThen::PartitionsCreated(ticket), Reply::CreatePartitions(response)) => {
                create_partitions::answer(self, ticket, &response);
            }
            (ControllerThen::ConfigsReplaced(ticket), Reply::AlterConfigs(response)) => {
                alter_configs::answer(self, ticket, &response);
            }
            (ControllerThen::ConfigsChanged(ticket), Reply::IncrementalAlterConfigs(response)) => {
                incremental_alter_configs::answer(self, ticket, &response);
            }
            (ControllerThen::Metadata(wait), Reply::CreateTopics(response)) => {
                wait.answer(self, &response);
            }
            (ControllerThen::Coordinators(wait), Reply::CreateTopics(response)) => {
                wait.answer(self, &response);
            }
            (ControllerThen::Registry { token, command }, Reply::CreateTopics(response)) => {
                self.registry_topic_made(now, token, command, &response);
            }
            (ControllerThen::ProducerIds, Reply::ProducerIds { first, count }) => {
                self.handle_producer_ids(now, Ok((first, count)));
            }
            (ControllerThen::ProducerIds, _) => {
                self.handle_producer_ids(now, Err(ErrorCode::UNKNOWN_SERVER_ERROR));
            }
            (ControllerThen::FeaturesUpdated(ticket), Reply::UpdateFeatures(response)) => {
                self.metrics.error(response.error_code);
                self.respond(ticket, &response);
            }
            (then, reply) => unreachable!("{then:?} does not follow {reply:?}"),
        }
    }

    /// The request that makes one of the broker's own topics.
    pub(crate) fn internal_topic(&self, name: &str) -> CreateTopicsRequest {
        let partitions = match name {
            GROUP_TOPIC => self.config.offsets_topic_partitions,
            TRANSACTION_TOPIC => self.config.transaction_topic_partitions,
            _ => 1,
        };
        let config = |name: &str, value: &str| CreatableTopicConfig {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        };
        let mut configs = vec![config("cleanup.policy", "compact")];
        if name != SCHEMA_TOPIC {
            configs.push(config("segment.bytes", "104857600"));
        }
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs,
            ..Default::default()
        };
        CreateTopicsRequest { topics: vec![topic], ..Default::default() }
    }
}

fn topic_defaults(config: &NodeConfig) -> BTreeMap<String, String> {
    let mut defaults = config.topic_defaults.clone();
    if config.flush != NodeConfig::default().flush {
        defaults.insert("flush.policy".to_owned(), flush_policy(config).as_str().to_owned());
    }
    defaults
}

fn flush_policy(config: &NodeConfig) -> TopicFlushPolicy {
    match config.flush {
        FlushPolicy::Commit => TopicFlushPolicy::Commit,
        FlushPolicy::Os => TopicFlushPolicy::Os,
    }
}

/// The records could not be written: nothing of the reply holds.
fn refuse_all(reply: &mut Reply, error: ErrorCode) {
    match reply {
        Reply::CreateTopics(response) => {
            response.topics.iter_mut().for_each(|topic| topic.error_code = error);
        }
        Reply::DeleteTopics(response) => {
            response.responses.iter_mut().for_each(|topic| topic.error_code = error);
        }
        Reply::CreatePartitions(response) => {
            response.results.iter_mut().for_each(|topic| topic.error_code = error);
        }
        Reply::AlterConfigs(response) => {
            response.responses.iter_mut().for_each(|resource| resource.error_code = error);
        }
        Reply::IncrementalAlterConfigs(response) => {
            response.responses.iter_mut().for_each(|resource| resource.error_code = error);
        }
        Reply::UpdateFeatures(response) => {
            response.error_code = error;
            response.results.iter_mut().for_each(|feature| feature.error_code = error);
        }
        Reply::ProducerIds { .. } | Reply::NoProducerIdsLeft | Reply::BrokerRestarted { .. } => {
            *reply = Reply::NoProducerIdsLeft;
        }
    }
}
