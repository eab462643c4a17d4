//! How far a member is in its partitions, what the group has committed, and where the ends are.

use super::intake::{Intake, fetch_request, take_in};
use super::membership::{Kind, Membership};
use super::{TOPIC, is_passing};
use crate::port::{Broken, Port, answer};
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::fetch::PartitionData;
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use mainstem_protocol::messages::{FetchRequest, OffsetFetchRequest};
use std::collections::{BTreeMap, BTreeSet};

/// The version before and the one that shows the member and its epoch.
const OFFSETS_VERSIONS: [i16; 2] = [8, 9];
/// Bytes of one partition in one fetch: a few batches, so that groups have work for a while.
const FETCH_BYTES: i32 = 2_500;

/// One partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    /// The next offset to read.
    pub(super) next: i64,
    /// What the group has committed, as far as this member knows.
    pub(super) committed: i64,
    /// Nothing lies behind `next`, nothing undecided before it, and nothing will.
    pub(super) at_end: bool,
}

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Positions {
    pub(super) at: BTreeMap<i32, Position>,
    /// What the answer under way has to show at least.
    floors: BTreeMap<i32, i64>,
    version: i16,
    /// The fetch under way left when nobody wrote any more, so the end that it tells is the end.
    is_final: bool,
}

impl Positions {
    /// Forgets partitions that are another's. Says whether one of those left has no position.
    pub(super) fn fit(&mut self, assigned: &BTreeSet<i32>) -> bool {
        self.at.retain(|partition, _| assigned.contains(partition));
        self.at.len() < assigned.len()
    }

    /// Asks where the group is in the partitions that have no position.
    pub(super) fn send_offset_fetch(
        &mut self,
        membership: &Membership,
        stable: bool,
        port: &mut Port,
    ) -> i32 {
        let book = membership.book.borrow();
        // Without transactions all offsets are stable.
        self.floors = book.floors();
        self.version = OFFSETS_VERSIONS[usize::from(membership.kind == Kind::Consumer)];
        let missing = membership.assigned.iter().filter(|of| !self.at.contains_key(*of)).copied();
        let topic = OffsetFetchRequestTopics {
            name: TOPIC.to_owned(),
            partition_indexes: missing.collect(),
            ..OffsetFetchRequestTopics::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: book.name().to_owned(),
            member_id: (membership.kind == Kind::Consumer).then(|| membership.member_id.clone()),
            member_epoch: membership.generation,
            topics: Some(vec![topic]),
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            require_stable: stable,
            ..OffsetFetchRequest::default()
        };
        port.send(self.version, &request)
    }

    pub(super) fn take_offsets(
        &mut self,
        membership: &mut Membership,
        frame: Bytes,
    ) -> Result<(), Broken> {
        let response = answer::<OffsetFetchRequest>(self.version, frame);
        for group in response.groups {
            match group.error_code {
                ErrorCode::NONE => {}
                // The next heartbeat brings the epoch.
                ErrorCode::STALE_MEMBER_EPOCH => return Ok(()),
                error => {
                    membership.take_error(error)?;
                    return Ok(());
                }
            }
            for part in group.topics.into_iter().flat_map(|topic| topic.partitions) {
                if part.error_code == ErrorCode::UNSTABLE_OFFSET_COMMIT {
                    continue;
                }
                if part.error_code != ErrorCode::NONE {
                    return Err(Broken::protocol(format!("OffsetFetch: {:?}", part.error_code)));
                }
                let (partition, offset) = (part.partition_index, part.committed_offset);
                let shown = (0 <= offset).then_some(offset);
                membership.book.borrow_mut().shown(partition, shown, &self.floors)?;
                let next = offset.max(0);
                let position = Position { next, committed: next, at_end: false };
                self.at.insert(partition, position);
            }
        }
        Ok(())
    }

    pub(super) fn fetch(&mut self, is_final: bool) -> FetchRequest {
        self.is_final = is_final;
        let positions = self.at.iter().map(|(partition, position)| (*partition, position.next));
        fetch_request(TOPIC, true, FETCH_BYTES, positions)
    }

    /// One partition of a fetch answer. The position moves; `None` when it may not.
    pub(super) fn take_part(&mut self, part: PartitionData) -> Result<Option<Intake>, Broken> {
        match part.error_code {
            ErrorCode::NONE => {}
            error if is_passing(error) => return Ok(None),
            error => return Err(Broken::protocol(format!("a member's fetch: {error:?}"))),
        }
        let Some(position) = self.at.get_mut(&part.partition_index) else { return Ok(None) };
        let (high, stable) = (part.high_watermark, part.last_stable_offset);
        let intake = take_in(part, position.next, true)?;
        position.next = intake.position;
        position.at_end = self.is_final && high == stable && high <= position.next;
        Ok(Some(intake))
    }

    /// What there is to commit.
    pub(super) fn uncommitted(&self) -> BTreeMap<i32, i64> {
        let moved = self.at.iter().filter(|(_, position)| position.committed < position.next);
        moved.map(|(partition, position)| (*partition, position.next)).collect()
    }

    pub(super) fn note_committed(&mut self, partition: i32, offset: i64) {
        if let Some(position) = self.at.get_mut(&partition) {
            position.committed = offset;
        }
    }

    /// Partitions that are read and committed to their end.
    pub(super) fn finished(&self) -> impl Iterator<Item = i32> + '_ {
        let done = |position: &Position| position.at_end && position.committed == position.next;
        self.at.iter().filter(move |(_, position)| done(position)).map(|(of, _)| *of)
    }
}
