//! The target assignment: who shall have what.
//!
//! It is computed when the group epoch is above its own, but not more often than the assignment
//! interval says. Until then the group is `Assigning` and members go on towards the old target.

use super::assignor::{self, Assignable, Subscriber};
use super::change::{ConsumerChange, TargetEpoch};
use super::config::ServerAssignor;
use super::draft::Draft;
use super::state::ConsumerGroup;
use crate::group::TopicDirectory;
use mainstem_protocol::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names and pattern: members that say the same want the same.
type Wish<'a> = (&'a BTreeSet<String>, Option<&'a str>);

impl ConsumerGroup {
    /// The assignor that most members wish for, among those that the broker has; its default when
    /// nobody wishes for one.
    pub(super) fn preferred_assignor(&self, known: &[ServerAssignor]) -> ServerAssignor {
        let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
        for member in self.members.values() {
            let wish = member.server_assignor.as_deref().and_then(ServerAssignor::find);
            let place = wish.and_then(|wish| known.iter().position(|assignor| *assignor == wish));
            if let Some(place) = place {
                *votes.entry(place).or_default() += 1;
            }
        }
        // Among equals the one that the broker names first.
        let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        let default = known.first().copied().unwrap_or(ServerAssignor::Uniform);
        most.map_or(default, |(place, _)| known[place])
    }

    /// What an assignor has to know.
    fn assignable(&self, topics: &dyn TopicDirectory) -> Assignable {
        let mut by_wish: BTreeMap<Wish<'_>, Arc<BTreeSet<TopicId>>> = BTreeMap::new();
        let mut members = BTreeMap::new();
        for (id, member) in &self.members {
            let wish = (&member.topics, member.regex.as_deref());
            let wanted = by_wish
                .entry(wish)
                .or_insert_with(|| Arc::new(self.topics_wanted_by(member, topics)));
            let subscriber = Subscriber {
                instance_id: member.instance_id.clone(),
                topics: Arc::clone(wanted),
                has: self.target.get(id).cloned().unwrap_or_default(),
            };
            members.insert(Arc::clone(id), subscriber);
        }
        let ids: BTreeSet<TopicId> = by_wish.values().flat_map(|set| set.iter().copied()).collect();
        let count = |id: TopicId| topics.partition_count(id).map(|count| (id, count));
        Assignable { members, topics: ids.into_iter().filter_map(count).collect() }
    }
}

impl Draft {
    /// Computes the target for the group epoch, when that is due.
    pub(super) fn refresh_target(
        &mut self,
        known: &[ServerAssignor],
        interval_ms: i64,
        topics: &dyn TopicDirectory,
        now_ms: i64,
    ) {
        let epoch = self.group.group_epoch();
        if epoch <= self.group.assignment_epoch() {
            return;
        }
        let since = self.group.target_epoch.map_or(0, |target| target.computed_ms);
        // A clock that was set back must not make the group wait for ever.
        let waited_ms = now_ms.saturating_sub(since);
        if 0 < since && (0..interval_ms).contains(&waited_ms) {
            return;
        }
        let assignable = self.group.assignable(topics);
        let assignor = self.group.preferred_assignor(known);
        let assigned = assignor::assign(assignor, &assignable);
        for (id, target) in assigned {
            let known = self.group.target.get(&id);
            if known.is_some_and(|known| *known == target) {
                continue;
            }
            self.put(ConsumerChange::Target(id, Some(target)));
        }
        let target = TargetEpoch { epoch, computed_ms: now_ms };
        self.put(ConsumerChange::TargetEpoch(Some(target)));
    }
}
