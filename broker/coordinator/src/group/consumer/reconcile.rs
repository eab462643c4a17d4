//! What a member has next: one step from its current assignment towards the target.
//!
//! ```text
//!              must give up partitions            it says that it has
//!   Stable ------------------------> Unrevoked ----------------------.
//!     ^                                                              |
//!     | all of the target is free           some of it is not        v
//!     +--------------------------- Unreleased <--------------- (next step)
//! ```
//!
//! First a member gives up, then it gets. While it gives up it keeps its epoch, so that whoever
//! looks knows it has not arrived. It gets only what nobody else has; what others still have it
//! gets in a later heartbeat.
//!
//! The target may be older than the member's subscription, since targets are not computed at every
//! moment: of topics that the member no longer wants it gets nothing and gives up what it has.

use super::member::{Current, MemberState};
use super::partitions::{PartitionEpochs, Partitions, contains, each, insert};
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::BTreeSet;

/// All that the next step depends on.
pub(super) struct Step<'a> {
    pub(super) current: &'a Current,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Partitions,
    /// The topics that the member wants now.
    pub(super) subscribed: &'a BTreeSet<TopicId>,
    /// It wants other topics than before.
    pub(super) subscription_changed: bool,
    /// What the member says that it has; `None` when it does not say.
    pub(super) owned: Option<&'a Partitions>,
    /// Whether somebody else has the partition.
    pub(super) is_taken: &'a dyn Fn(TopicId, PartitionIndex) -> bool,
}

/// The member's next assignment; an equal one when it cannot move.
pub(super) fn reconcile(step: &Step<'_>) -> Current {
    let current = step.current;
    match current.state {
        MemberState::Stable if current.epoch != step.target_epoch => step.next(current.epoch),
        MemberState::Stable if step.subscription_changed => step.give_up_unwanted(),
        MemberState::Stable => current.clone(),
        MemberState::UnrevokedPartitions if step.still_has(&current.revoking) => {
            if step.subscription_changed { step.give_up_unwanted() } else { current.clone() }
        }
        // It has given up all; that is an epoch of its own, unless the target has none above.
        MemberState::UnrevokedPartitions => {
            step.next(current.epoch.saturating_add(1).min(step.target_epoch))
        }
        MemberState::UnreleasedPartitions => step.next(current.epoch),
    }
}

impl Step<'_> {
    fn wants(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.subscribed.contains(&topic) && contains(self.target, topic, partition)
    }

    /// Whether the member says, or may be silent about, having some of them.
    fn still_has(&self, partitions: &PartitionEpochs) -> bool {
        let Some(owned) = self.owned else { return true };
        each(partitions).any(|(topic, partition, _)| contains(owned, topic, partition))
    }

    fn next(&self, epoch: i32) -> Current {
        let current = self.current;
        let (mut assigned, mut revoking) = (PartitionEpochs::new(), PartitionEpochs::new());
        for (topic, partition, at) in each(&current.assigned) {
            let side = if self.wants(topic, partition) { &mut assigned } else { &mut revoking };
            insert(side, topic, partition, at);
        }
        if !revoking.is_empty() && self.still_has(&revoking) {
            return Current {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::UnrevokedPartitions,
                assigned,
                revoking,
            };
        }
        let mut unreleased = false;
        for (topic, partitions) in self.target {
            for partition in partitions {
                let has = assigned.get(topic).is_some_and(|of| of.contains_key(partition));
                if has || !self.subscribed.contains(topic) {
                    continue;
                }
                if (self.is_taken)(*topic, *partition) {
                    unreleased = true;
                } else {
                    insert(&mut assigned, *topic, *partition, self.target_epoch);
                }
            }
        }
        let state =
            if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        let previous_epoch = current.epoch;
        Current {
            epoch: self.target_epoch,
            previous_epoch,
            state,
            assigned,
            revoking: PartitionEpochs::new(),
        }
        .or_same(current)
    }

    /// The target is still the old one, but what the member does not want any more it gives up now.
    fn give_up_unwanted(&self) -> Current {
        let current = self.current;
        let mut assigned = PartitionEpochs::new();
        let mut revoking = current.revoking.clone();
        for (topic, partition, at) in each(&current.assigned) {
            let wanted = self.subscribed.contains(&topic);
            let side = if wanted { &mut assigned } else { &mut revoking };
            insert(side, topic, partition, at);
        }
        if assigned == current.assigned {
            return current.clone();
        }
        if self.still_has(&revoking) {
            let state = MemberState::UnrevokedPartitions;
            return Current { state, assigned, revoking, ..current.clone() };
        }
        Current { assigned, revoking: PartitionEpochs::new(), ..current.clone() }
    }
}

impl Current {
    /// The same as before when only the epoch before would differ: nothing to write.
    fn or_same(self, before: &Current) -> Current {
        let same = Current { previous_epoch: before.previous_epoch, ..self.clone() };
        if same == *before { same } else { self }
    }
}
