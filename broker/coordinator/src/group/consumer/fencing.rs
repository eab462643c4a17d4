//! Who may commit and read the offsets of a consumer group.
//!
//! A member shows its member epoch. One that shows an older epoch may still commit the partitions
//! that it has had since then: it only has not heard of its new epoch (KIP-1251). Whoever names no
//! member may commit while the group has none.

use super::partitions::each;
use super::state::ConsumerGroup;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{PartitionIndex, TopicId};

/// The version of OffsetCommit from which member epochs are understood.
const MEMBER_EPOCHS_FROM: i16 = 9;

/// In whose name offsets are committed.
pub(crate) struct Claim<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    pub(crate) epoch: i32,
    pub(crate) is_transactional: bool,
    pub(crate) api_version: i16,
}

impl ConsumerGroup {
    pub(crate) fn check_commit(
        &self,
        claim: &Claim<'_>,
        partitions: &mut dyn Iterator<Item = (TopicId, PartitionIndex)>,
    ) -> Result<(), ErrorCode> {
        if claim.epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        if let Some(instance) = claim.instance_id
            && let Some(holder) = self.static_members.get(instance)
            && **holder != *claim.member_id
        {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if !self.members.contains_key(claim.member_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let current = self.current_of(claim.member_id);
        if self.is_classic(claim.member_id) {
            let matches = claim.epoch == current.epoch;
            return if matches { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) };
        }
        if !claim.is_transactional && claim.api_version < MEMBER_EPOCHS_FROM {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        // TxnOffsetCommit has no word for a stale epoch.
        let stale = match claim.is_transactional {
            true => ErrorCode::ILLEGAL_GENERATION,
            false => ErrorCode::STALE_MEMBER_EPOCH,
        };
        if claim.epoch == current.epoch {
            return Ok(());
        }
        if claim.epoch < 0 || current.epoch < claim.epoch {
            return Err(stale);
        }
        let had = |topic: TopicId, partition: PartitionIndex| {
            let mut all = each(&current.assigned).chain(each(&current.revoking));
            all.any(|(t, p, at)| t == topic && p == partition && at <= claim.epoch)
        };
        for (topic, partition) in partitions {
            if !had(topic, partition) {
                return Err(stale);
            }
        }
        Ok(())
    }

    pub(crate) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(id) = member_id.filter(|_| 0 <= epoch) else {
            // Tools, and consumers that do not say who they are.
            return match (member_id, epoch) {
                (None, ..0) => Ok(()),
                (Some(""), ..0) => Ok(()),
                _ => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            };
        };
        if !self.members.contains_key(id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if epoch == self.current_of(id).epoch {
            return Ok(());
        }
        let is_classic = self.is_classic(id);
        Err(if is_classic { ErrorCode::ILLEGAL_GENERATION } else { ErrorCode::STALE_MEMBER_EPOCH })
    }
}
