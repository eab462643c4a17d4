//! Views: durable metadata on its way from the controller to all shards, and what each shard does
//! when one arrives.
//!
//! Invariants:
//! - Every shard sees the same views in the same order.
//! - A view is taken over whole: settings of the broker are changed, partitions are opened and
//!   removed and machines loaded before the first request is answered from it.

use super::controller::METADATA_KEY;
use super::identity::write_clean_shutdown;
use super::load;
use crate::ask::PartitionKey;
use crate::cluster::{ClusterView, GROUP_TOPIC, SCHEMA_TOPIC, TRANSACTION_TOPIC};
use crate::node::ShardNode;
use crate::shard_message::ShardMessage;
use mainstem_coordinator::group::ConsumerGroupOverrides;
use mainstem_metadata::{Configs, Image, MetadataRecord};
use mainstem_platform::Now;
use std::sync::Arc;
use std::time::Duration;

impl ShardNode {
    pub(super) fn publish(&mut self, now: Now, records: &[MetadataRecord]) {
        let Some(mut view) = self.cluster.clone() else { return };
        let image = Arc::make_mut(&mut view.image);
        for record in records {
            if let Err(error) = image.apply(record) {
                self.halt(format!("a durable decision does not fit the published image: {error}"));
                return;
            }
        }
        view.offset = view.offset.plus(records.len() as i64);
        if let Some(seat) = self.seat.as_mut() {
            seat.placement.follow(&view.image, &self.dirs);
            view.placement = seat.placement.clone();
        }
        self.follow(now, view);
    }

    /// Takes a view over on shard zero and sends it to the others.
    pub(super) fn follow(&mut self, now: Now, view: ClusterView) {
        self.tell_shards(|| ShardMessage::Cluster(view.clone()));
        self.handle_view(now, view);
    }

    /// A view of shard zero arrived.
    pub(crate) fn handle_view(&mut self, now: Now, view: ClusterView) {
        self.write_all_accepted(now);
        let old = self.cluster.take();
        let old = old.as_ref().map(|old| &*old.image);
        // Defaults of topics may have changed: then every topic has.
        let known = if self.follow_broker_configs(old, &view.image) { None } else { old };
        let opened = self.follow_view(now, known, &view);
        let gone: Vec<Arc<str>> = old
            .into_iter()
            .flat_map(Image::topics)
            .filter(|topic| view.image.topic_by_id(topic.id).is_none())
            .map(|topic| Arc::clone(&topic.name))
            .collect();
        self.follow_group_configs(old, &view.image);
        self.cluster = Some(view);
        self.load_opened(now, opened);
        if let Some(seat) = self.seat.as_mut()
            && !gone.is_empty()
        {
            let names: Vec<&str> = gone.iter().map(|name| &**name).collect();
            seat.groups.handle_topics_deleted(&names);
        }
        self.unpark(now);
    }

    /// Internal topics among these go on where their logs end.
    fn load_opened(&mut self, now: Now, opened: Vec<PartitionKey>) {
        for key in opened {
            if let Err(problem) = self.load_internal(now, &key) {
                self.take_offline(&key, &problem);
            }
        }
    }

    /// There may be room for partitions for which there was none.
    pub(crate) fn handle_reopen(&mut self, now: Now) {
        let opened = self.open_again(now);
        self.load_opened(now, opened);
    }

    /// What was set for single groups reaches their coordinator.
    fn follow_group_configs(&mut self, old: Option<&Image>, new: &Image) {
        let Some(seat) = self.seat.as_mut() else { return };
        let configured = old.into_iter().chain([new]).flat_map(Image::configured_groups);
        for group in configured {
            let configs = new.group_configs(group);
            if old.is_some_and(|old| old.group_configs(group) == configs) {
                continue;
            }
            let millis = |name: &str| {
                let value = configs.get(name).and_then(|text| text.parse().ok());
                value.map(Duration::from_millis)
            };
            let overrides = ConsumerGroupOverrides {
                session_timeout: millis("consumer.session.timeout.ms"),
                heartbeat_interval: millis("consumer.heartbeat.interval.ms"),
                assignment_interval: millis("consumer.assignment.interval.ms"),
            };
            seat.groups.set_group_overrides(group, overrides);
        }
    }

    /// Takes over what was set for this broker while it runs. Says whether anything changed.
    fn follow_broker_configs(&mut self, old: Option<&Image>, new: &Image) -> bool {
        let node_id = self.config.node_id;
        let layers = [new.all_brokers_configs(), new.broker_configs(node_id)];
        let before = old.map(|old| [old.all_brokers_configs(), old.broker_configs(node_id)]);
        if before.unwrap_or([&Configs::new(); 2]) == layers {
            return false;
        }
        self.config = Arc::new(self.config_at_start.with_changes(layers));
        self.set_flush_rule(&METADATA_KEY, self.metadata_flush_rule());
        if let Some(seat) = self.seat.as_mut() {
            seat.settings.default_partitions = self.config.num_partitions;
        }
        true
    }

    /// Reads a partition of an internal topic into its machine.
    pub(super) fn load_internal(&mut self, now: Now, key: &PartitionKey) -> Result<(), String> {
        let Some(seat) = self.seat.as_mut() else { return Ok(()) };
        let Some(partition) = self.partitions.get(key) else { return Ok(()) };
        let (log, index, epoch) = (&partition.log, key.partition, partition.leader_epoch);
        let loaded = match &*partition.topic {
            GROUP_TOPIC => load::load_groups(&mut seat.groups, log, index, epoch, now),
            TRANSACTION_TOPIC => {
                load::load_transactions(&mut seat.transactions, log, index, epoch, now)
            }
            SCHEMA_TOPIC => load::load_registry(&mut seat.registry, log),
            _ => Ok(()),
        };
        loaded.map_err(|problem| format!("load {}-{index}: {problem}", partition.topic))
    }

    /// Closes everything and leaves proof of it.
    pub(crate) fn close_partitions(&mut self, now: Now) {
        self.write_all_accepted(now);
        let folders = self.close_logs();
        let Some(run) = self.cluster.as_ref().map(|view| view.run) else { return };
        for dir in self.dirs.online() {
            let (path, folders) = (self.dirs.path(dir), &folders[dir.place()]);
            // Without the proof the next start verifies more; nothing is lost.
            if let Err(error) = write_clean_shutdown(&*self.disk, path, self.shard, run, folders) {
                tracing::warn!(%error, "write down the clean shutdown");
            }
        }
    }
}
