//! What only shard zero has: the controller, the coordinators and the registry.
//!
//! All of them are decide/apply machines over a log of this shard. Their effects are carried out
//! here: records become batches of their topics, answers become responses, markers become
//! questions to the shards of their partitions.
//!
//! Invariants:
//! - What a machine promises leaves when the high watermark has passed the records behind it.
//! - Machines are resumed from a queue, never from within a call to them.
//!
//! The rooms: `identity` is the log directories' own identity, `controller` decides metadata,
//! `snapshot` keeps its log short, `view` brings it to all shards, `load` reads logs back,
//! `coordinators` drives groups and transactions, `markers` ends transactions on their partitions,
//! `registry` hosts the schemas.

mod controller;
mod coordinators;
mod identity;
mod load;
mod markers;
mod registry;
mod snapshot;
mod view;

pub(crate) use controller::{ControllerThen, METADATA_KEY};
pub(crate) use coordinators::context;
pub(crate) use markers::MarkersFor;

use crate::ask::{Asker, PartitionKey, Ticket};
use crate::event::CommandToken;
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use crate::placement::Placement;
use bytes::{Bytes, BytesMut};
use coordinators::CoordinatorsThen;
use identity::Identity;
use mainstem_coordinator::group::GroupCoordinator;
use mainstem_coordinator::transaction::{Participation, TransactionCoordinator};
use mainstem_coordinator::{ProducerIdAndEpoch, TopicPartition};
use mainstem_metadata::{ControllerSettings, Image, MetadataRecord, Reply};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::record::{BatchBuilder, NO_SEQUENCE};
use mainstem_registry::Registry;
use markers::MarkerRound;
use std::collections::{BTreeMap, VecDeque};

/// What goes on when records of a machine are past the high watermark.
#[derive(Debug)]
pub(crate) enum SeatThen {
    /// The controller publishes its records and gives its reply.
    Decided { records: Vec<MetadataRecord>, reply: Reply, then: ControllerThen },
    /// A coordinator applies what it appended.
    Coordinators(CoordinatorsThen),
    /// The registry's answer leaves.
    Registry { token: CommandToken, reply: mainstem_registry::Reply },
}

/// Where an answer of the transaction coordinator goes that is not a client's response.
pub(crate) enum Route {
    /// To a partition that keeps a batch.
    Verification { asker: Asker, partition: TopicPartition, participation: Participation },
    /// On to the group coordinator.
    TxnOffsetCommit(Box<crate::api::TxnOffsetCommitWait>),
}

/// The machines of shard zero.
pub(crate) struct Seat {
    pub(crate) identity: Identity,
    /// The image with every decision applied, durable or not: what the next decision is taken on.
    decided: Image,
    pub(crate) settings: ControllerSettings,
    /// Where every partition is, also of those that are not published yet.
    placement: Placement,
    /// Bytes of the metadata log that no snapshot covers.
    bytes_since_snapshot: u64,
    pub(crate) groups: GroupCoordinator,
    pub(crate) transactions: TransactionCoordinator,
    registry: Registry,
    pub(crate) routes: BTreeMap<Ticket, Route>,
    markers: BTreeMap<Ticket, MarkerRound>,
    /// Machines to be resumed, in order.
    resumed: VecDeque<SeatThen>,
}

impl Seat {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.groups.deadline(), self.transactions.deadline()];
        deadlines.into_iter().flatten().min()
    }
}

impl ShardNode {
    /// Lets a machine go on at the next turn.
    pub(crate) fn resume_seat(&mut self, then: SeatThen) {
        if let Some(seat) = self.seat.as_mut() {
            seat.resumed.push_back(then);
        }
    }

    /// Resumes one machine or carries out one effect. False when there is nothing to do.
    pub(crate) fn drain_seat(&mut self, now: Now) -> bool {
        let Some(seat) = self.seat.as_mut() else { return false };
        if let Some(then) = seat.resumed.pop_front() {
            match then {
                SeatThen::Decided { records, reply, then } => {
                    self.handle_decided(now, &records, reply, then);
                }
                SeatThen::Coordinators(then) => self.handle_coordinators_then(now, &then),
                SeatThen::Registry { token, reply } => self.answer_registry(token, reply),
            }
            return true;
        }
        if let Some(effect) = seat.groups.poll_effect() {
            self.handle_group_effect(now, effect);
            return true;
        }
        if let Some(effect) = seat.transactions.poll_effect() {
            self.handle_transaction_effect(now, effect);
            return true;
        }
        false
    }

    /// The log of these records is gone: what was to follow does not happen.
    pub(crate) fn refuse_seat(&mut self, then: SeatThen, error: ErrorCode) {
        match then {
            SeatThen::Coordinators(then) => {
                self.resume_seat(SeatThen::Coordinators(then.refused(error)));
            }
            SeatThen::Registry { token, .. } => {
                self.registry_failed(token, error.name().to_owned());
            }
            // The metadata log is never offline: the broker halts before.
            SeatThen::Decided { .. } => {}
        }
    }

    /// A partition is in another directory now.
    pub(crate) fn handle_moved(&mut self, key: PartitionKey, dir: LogDirIndex) {
        if let Some(seat) = self.seat.as_mut() {
            seat.placement.set(key, dir);
        }
    }

    pub(crate) fn handle_seat_deadline(&mut self, now: Now) {
        let Some(seat) = self.seat.as_mut() else { return };
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now.instant);
        if due(seat.transactions.deadline()) {
            seat.transactions.handle_timeout(now);
        }
        if due(seat.groups.deadline()) {
            self.groups_timeout(now);
        }
    }
}

/// Records of a machine as one batch.
fn batch<'a>(
    now: Now,
    records: impl Iterator<Item = (Option<&'a Bytes>, Option<&'a Bytes>)>,
    producer: Option<ProducerIdAndEpoch>,
) -> Result<BytesMut, ErrorCode> {
    let mut builder = BatchBuilder::new();
    if let Some(producer) = producer {
        builder = builder.producer(producer.id, producer.epoch, NO_SEQUENCE).transactional();
    }
    for (key, value) in records {
        let (key, value) = (key.map(|key| &key[..]), value.map(|value| &value[..]));
        builder.push(now.wall_ms, key, value, &[]);
    }
    builder.finish_mut().map_err(|error| {
        tracing::error!(%error, "encode records of a coordinator");
        ErrorCode::RECORD_LIST_TOO_LARGE
    })
}
