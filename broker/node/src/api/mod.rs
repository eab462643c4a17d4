//! The API table: every request that this broker carries out, with the versions that work.
//!
//! One file per API key; each opens with a card (key, versions, behaviour, version notes) and
//! gives an [`Api`] for the table. ApiVersions is answered from the table alone, so nothing is
//! advertised that does not work.
//!
//! Words: a request is *pending* while parts of it are at the partitions' shards; what came back
//! so far is in its [`Pending`].

mod add_offsets_to_txn;
mod add_partitions_to_txn;
pub(crate) mod alter_configs;
mod alter_replica_log_dirs;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
pub(crate) mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
pub(crate) mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

pub(crate) use create_topics::TopicsWait;
pub(crate) use delete_topics::DeleteWait;
pub(crate) use find_coordinator::CoordinatorsWait;
pub(crate) use metadata::MetadataWait;
pub(crate) use txn_offset_commit::TxnOffsetCommitWait;
pub(crate) use write_txn_markers::marked as markers_written;

use crate::ask::{Ticket, Told};
use crate::dispatch::{Request, RequestError};
use crate::gather::Gather;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;
use std::ops::RangeInclusive;

/// Where a request may be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the shard of its connection.
    AnyShard,
    /// Beside the controller and the coordinators.
    FirstShard,
}

/// Answers the request now, or keeps its ticket and answers later.
pub(crate) type Handler = fn(&mut ShardNode, Now, &Request) -> Result<(), RequestError>;

/// One line of the table.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// Versions that work.
    pub(crate) versions: RangeInclusive<i16>,
    /// The lowest version that ApiVersions shows; below `versions` for Produce only.
    pub(crate) advertised_min: i16,
    pub(crate) place: Place,
    pub(crate) handle: Handler,
}

impl Api {
    pub(crate) const fn new(key: ApiKey, min: i16, max: i16, place: Place, handle: Handler) -> Api {
        Api { key, versions: min..=max, advertised_min: min, place, handle }
    }
}

/// All APIs, in the order of their keys.
pub(crate) static TABLE: &[Api] = &[
    produce::API,
    fetch::API,
    list_offsets::API,
    metadata::API,
    offset_commit::API,
    offset_fetch::API,
    find_coordinator::API,
    join_group::API,
    heartbeat::API,
    leave_group::API,
    sync_group::API,
    describe_groups::API,
    list_groups::API,
    api_versions::API,
    create_topics::API,
    delete_topics::API,
    delete_records::API,
    init_producer_id::API,
    offset_for_leader_epoch::API,
    add_partitions_to_txn::API,
    add_offsets_to_txn::API,
    end_txn::API,
    write_txn_markers::API,
    txn_offset_commit::API,
    describe_configs::API,
    alter_configs::API,
    create_partitions::API,
    alter_replica_log_dirs::API,
    describe_log_dirs::API,
    delete_groups::API,
    elect_leaders::API,
    incremental_alter_configs::API,
    offset_delete::API,
    describe_quorum::API,
    update_features::API,
    describe_cluster::API,
    consumer_group_heartbeat::API,
    consumer_group_describe::API,
    describe_producers::API,
    describe_transactions::API,
    list_transactions::API,
    list_config_resources::API,
    describe_topic_partitions::API,
];

/// The table's line of a key.
pub(crate) fn find(key: ApiKey) -> Option<&'static Api> {
    TABLE.iter().find(|api| api.key == key)
}

/// What was gathered so far of a request whose parts are at partitions.
pub(crate) enum Pending {
    Produce(produce::Gather),
    Fetch(Box<fetch::Waiting>),
    ListOffsets(Gather<list_offsets::Offsets>),
    DeleteRecords(Gather<delete_records::Deletion>),
    EpochEnd(Gather<offset_for_leader_epoch::EpochEnds>),
    Producers(Gather<describe_producers::Producers>),
    LogDirs(describe_log_dirs::Gather),
    Moves(Gather<alter_replica_log_dirs::Moves>),
    Markers(write_txn_markers::MarkersWait),
}

impl ShardNode {
    /// A partition's shard answered.
    pub(crate) fn handle_told(&mut self, now: Now, ticket: Ticket, told: Told) {
        if let Told::Marked { key, error } = told {
            self.handle_marked(now, ticket, key, error);
            return;
        }
        let Some(pending) = self.pending.remove(&ticket) else { return };
        match (pending, told) {
            (Pending::Produce(gather), Told::Appended(outcome)) => {
                produce::told(self, ticket, gather, outcome);
            }
            (Pending::Fetch(waiting), told) => fetch::told(self, now, ticket, waiting, told),
            (Pending::ListOffsets(gather), Told::Offsets(outcomes)) => {
                gather.told(self, ticket, outcomes);
            }
            (Pending::DeleteRecords(gather), Told::DeleteRecords(outcomes)) => {
                gather.told(self, ticket, outcomes);
            }
            (Pending::EpochEnd(gather), Told::EpochEnd(outcomes)) => {
                gather.told(self, ticket, outcomes);
            }
            (Pending::Producers(gather), Told::Producers(outcomes)) => {
                gather.told(self, ticket, outcomes);
            }
            (Pending::LogDirs(gather), Told::LogDirs(places)) => {
                describe_log_dirs::told(self, ticket, gather, places);
            }
            (Pending::Moves(gather), Told::Moves(outcomes)) => {
                gather.told(self, ticket, outcomes);
            }
            (_, told) => unreachable!("an answer to another question: {told:?}"),
        }
    }

    /// A fetch has waited as long as it wanted.
    pub(crate) fn handle_fetch_deadline(&mut self, now: Now, ticket: Ticket) {
        if let Some(Pending::Fetch(waiting)) = self.pending.remove(&ticket) {
            fetch::deadline(self, now, ticket, waiting);
        }
    }

    /// The client of a pending request has gone.
    pub(crate) fn drop_pending(&mut self, ticket: Ticket, pending: &Pending) {
        if let Pending::Fetch(waiting) = pending {
            fetch::unwatch(self, ticket, waiting);
        }
    }
}
