//! The group coordinator: its state, its doors, and the small moves that every rule needs.

use super::append::{PendingAppend, Then};
use super::change::Change;
use super::consumer::{ConsumerGroup, ConsumerGroupOverrides};
use super::expiry::arm_retention;
use super::join::JoinAttempt;
use super::member::MemberId;
use super::offsets::OffsetTable;
use super::refuse::refuse;
use super::state::Group;
use super::{GroupConfig, GroupEffect, GroupRequest, GroupResponse, TopicDirectory};
use crate::log::{AppendToken, ClientContext, ProducerIdAndEpoch, ReplyTo, partition_for};
use crate::residency::Residency;
use crate::timers::Timers;
use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, PartitionIndex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What may fall due. The order decides between equal times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GroupTimer {
    /// A member has not sent a heartbeat for its session timeout.
    Session(Arc<str>, MemberId),
    /// An id that was given out has not been used to join.
    PendingMember(Arc<str>, MemberId),
    /// A join phase has lasted long enough.
    Join(Arc<str>),
    /// Members have not fetched their assignment.
    Sync(Arc<str>),
    /// A member of a consumer group has not given up its partitions.
    Revocation(Arc<str>, MemberId),
    /// A classic member of a consumer group has not joined again.
    Rejoin(Arc<str>, MemberId),
    /// A classic member of a consumer group has not fetched its assignment.
    Resync(Arc<str>, MemberId),
    /// Look for offsets that nobody has needed for long.
    Retention,
}

impl GroupTimer {
    pub(super) fn group(&self) -> Option<&Arc<str>> {
        match self {
            Self::Session(group, _) | Self::PendingMember(group, _) => Some(group),
            Self::Revocation(group, _) | Self::Rejoin(group, _) => Some(group),
            Self::Resync(group, _) => Some(group),
            Self::Join(group) | Self::Sync(group) => Some(group),
            Self::Retention => None,
        }
    }
}

/// Groups and offsets of the partitions of `__consumer_offsets` that live on this broker.
#[derive(Debug)]
pub struct GroupCoordinator {
    pub(super) config: GroupConfig,
    pub(super) random: SeededRandom,
    pub(super) residency: Residency,
    /// Groups of the classic protocol.
    pub(super) groups: BTreeMap<Arc<str>, Group>,
    /// Groups of the consumer protocol. No name is in both.
    pub(super) consumer_groups: BTreeMap<Arc<str>, ConsumerGroup>,
    /// The last decision on its way to the log, of each consumer group that has one.
    pub(super) consumer_appends: BTreeMap<Arc<str>, AppendToken>,
    pub(super) overrides: BTreeMap<Arc<str>, ConsumerGroupOverrides>,
    pub(super) offsets: OffsetTable,
    pub(super) timers: Timers<GroupTimer>,
    pub(super) appends: BTreeMap<AppendToken, PendingAppend>,
    /// DeleteGroups requests that wait for more than one partition.
    pub(super) deletions: BTreeMap<ReplyTo, super::admin::Deletion>,
    effects: VecDeque<GroupEffect>,
    next_token: u64,
}

impl GroupCoordinator {
    /// A coordinator that holds no partition yet. `seed` feeds the member ids; it must differ from
    /// one start of a broker to the next, or ids come twice.
    pub fn new(config: GroupConfig, seed: u64) -> Self {
        Self {
            config,
            random: SeededRandom::new(seed),
            residency: Residency::default(),
            groups: BTreeMap::new(),
            consumer_groups: BTreeMap::new(),
            consumer_appends: BTreeMap::new(),
            overrides: BTreeMap::new(),
            offsets: OffsetTable::default(),
            timers: Timers::new(),
            appends: BTreeMap::new(),
            deletions: BTreeMap::new(),
            effects: VecDeque::new(),
            next_token: 0,
        }
    }

    /// The partition of `__consumer_offsets` that holds a group.
    pub fn partition_of(&self, group_id: &str) -> PartitionIndex {
        partition_for(group_id, self.config.offsets_partitions)
    }

    /// Settings of one consumer group, in force from its next heartbeat on, within the ranges that
    /// the broker allows. They are kept until they are set again, whether the group exists or not.
    pub fn set_group_overrides(&mut self, group_id: &str, overrides: ConsumerGroupOverrides) {
        let overrides = overrides.within(&self.config.consumer);
        if overrides == ConsumerGroupOverrides::default() {
            self.overrides.remove(group_id);
        } else {
            self.overrides.insert(Arc::from(group_id), overrides);
        }
    }

    /// Takes a request; the answer leaves as [`GroupEffect::Reply`], now or later.
    pub fn handle_request(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: GroupRequest,
        to: ReplyTo,
    ) {
        if let Err(code) = self.check_residency(&request) {
            let response = refuse(&request, context.api_version, code);
            return self.reply(to, response);
        }
        match request {
            GroupRequest::JoinGroup(request) => {
                self.join(&JoinAttempt { now, context, request: &request, to }, topics);
            }
            GroupRequest::SyncGroup(request) => self.sync(now, context, topics, &request, to),
            GroupRequest::Heartbeat(request) => self.heartbeat(now, &request, to),
            GroupRequest::LeaveGroup(request) => self.leave(now, context, topics, &request, to),
            GroupRequest::ConsumerGroupHeartbeat(request) => {
                self.consumer_heartbeat(now, context, topics, &request, to);
            }
            GroupRequest::ConsumerGroupDescribe(request) => {
                self.consumer_describe(topics, &request, to);
            }
            GroupRequest::DescribeGroups(request) => self.describe(context, &request, to),
            GroupRequest::ListGroups(request) => self.list(&request, to),
            GroupRequest::DeleteGroups(request) => self.delete(request, to),
            GroupRequest::OffsetCommit(request) => {
                self.offset_commit(now, context, topics, &request, to);
            }
            GroupRequest::OffsetFetch(request) => self.offset_fetch(context, topics, &request, to),
            GroupRequest::OffsetDelete(request) => self.offset_delete(topics, &request, to),
            GroupRequest::TxnOffsetCommit(request) => {
                self.txn_offset_commit(now, context, topics, &request, to);
            }
        }
    }

    /// Requests about one group are refused as a whole when its partition is not served here. The
    /// others look at each group for themselves.
    fn check_residency(&self, request: &GroupRequest) -> Result<(), ErrorCode> {
        let (group, may_be_empty) = match request {
            GroupRequest::JoinGroup(request) => (&request.group_id, false),
            GroupRequest::SyncGroup(request) => (&request.group_id, false),
            GroupRequest::Heartbeat(request) => (&request.group_id, false),
            GroupRequest::LeaveGroup(request) => (&request.group_id, false),
            GroupRequest::ConsumerGroupHeartbeat(request) => (&request.group_id, false),
            // The empty name is a group for those who only keep offsets, since before there were
            // groups.
            GroupRequest::OffsetCommit(request) => (&request.group_id, true),
            GroupRequest::TxnOffsetCommit(request) => (&request.group_id, false),
            GroupRequest::OffsetDelete(request) => (&request.group_id, false),
            GroupRequest::ListGroups(_) => {
                let loading = self.residency.any_loading();
                let code = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
                return if loading { Err(code) } else { Ok(()) };
            }
            GroupRequest::DescribeGroups(_)
            | GroupRequest::ConsumerGroupDescribe(_)
            | GroupRequest::DeleteGroups(_)
            | GroupRequest::OffsetFetch(_) => return Ok(()),
        };
        if group.is_empty() && matches!(request, GroupRequest::ConsumerGroupHeartbeat(_)) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if group.is_empty() && !may_be_empty {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.residency.check(self.partition_of(group))
    }

    /// The deadline has passed (or not: then nothing happens).
    pub fn handle_timeout(&mut self, now: Now, topics: &dyn TopicDirectory) {
        while let Some(timer) = self.timers.pop_due(now.instant) {
            if self.consumer_time_is_up(now, topics, &timer) {
                continue;
            }
            match timer {
                GroupTimer::Session(group, member) => self.session_expired(now, &group, &member),
                GroupTimer::PendingMember(group, member) => {
                    self.pending_member_expired(now, &group, &member);
                }
                GroupTimer::Join(group) => self.join_time_is_up(now, &group),
                GroupTimer::Sync(group) => self.sync_time_is_up(now, &group),
                GroupTimer::Retention => self.expire_offsets(now),
                // The group is not a consumer group any more.
                GroupTimer::Revocation(..) | GroupTimer::Rejoin(..) | GroupTimer::Resync(..) => {}
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do; `None` until the next event.
    pub fn poll_effect(&mut self) -> Option<GroupEffect> {
        self.effects.pop_front()
    }

    /// The partition's log will now be read through; `epoch` is its leader epoch.
    pub fn begin_load(&mut self, partition: PartitionIndex, epoch: LeaderEpoch) {
        self.forget(partition, ErrorCode::NOT_COORDINATOR);
        self.residency.begin_load(partition, epoch);
    }

    /// The log was read to its end; from now on the partition is served.
    pub fn finish_load(&mut self, now: Now, partition: PartitionIndex) {
        assert!(
            self.residency.finish_load(partition),
            "a load is finished that was not begun: partition {partition}"
        );
        self.revive_members(now, partition);
        arm_retention(self, now);
    }

    /// This broker does not lead the partition any more.
    pub fn resign(&mut self, partition: PartitionIndex) {
        self.forget(partition, ErrorCode::NOT_COORDINATOR);
        self.residency.resign(partition);
    }

    pub(super) fn reply(&mut self, to: ReplyTo, response: GroupResponse) {
        self.effects.push_back(GroupEffect::Reply { to, response });
    }

    pub(super) fn ask_for_reload(&mut self, partition: PartitionIndex) {
        self.effects.push_back(GroupEffect::Reload { partition });
    }

    pub(super) fn retain_effects(&mut self, keep: impl Fn(&GroupEffect) -> bool) {
        self.effects.retain(keep);
    }

    /// Sends changes to the log. `then` happens when their fate is known. All changes belong to one
    /// partition of the log.
    pub(super) fn append(
        &mut self,
        partition: PartitionIndex,
        changes: Vec<Change>,
        producer: Option<ProducerIdAndEpoch>,
        then: Then,
    ) -> Result<AppendToken, (ErrorCode, Then)> {
        if self.config.appends_in_flight_max <= self.appends.len() {
            return Err((ErrorCode::COORDINATOR_NOT_AVAILABLE, then));
        }
        let records = changes.iter().map(super::record::encode).collect::<Result<Vec<_>, _>>();
        let Ok(records) = records else {
            // Only a text longer than its length field can say does not encode.
            return Err((ErrorCode::UNKNOWN_SERVER_ERROR, then));
        };
        let token = AppendToken(self.next_token);
        self.next_token += 1;
        self.effects.push_back(GroupEffect::Append { token, partition, records, producer });
        self.appends.insert(token, PendingAppend { partition, changes, producer, then });
        Ok(token)
    }

    /// A new member id: a name that people recognise, and a part that nobody guesses by chance.
    pub(super) fn new_member_id(&mut self, prefix: &str) -> MemberId {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        Arc::from(format!(
            "{prefix}-{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFF,
            low >> 48 & 0xFFF,
            low & 0xFFFF_FFFF_FFFF
        ))
    }
}
