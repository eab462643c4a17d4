//! A group: its members, its state, and the questions that the rules ask about it.
//!
//! ```text
//!            first join                all joined or time is up
//!   Empty ---------------> Preparing ---------------------------> Completing
//!     ^                    ^   ^  |                                 |     |
//!     | nobody came back   |   |  | join, leave, expiry             |     | the leader's
//!     +--------------------|---|--+                                 |     | assignment is
//!                          |   +------------------------------------+     | in the log
//!                          +--------------------------------------- Stable <
//! ```
//!
//! Nothing here answers, arms timers or writes; the rules do.

use super::change::GroupSnapshot;
use super::member::{Member, MemberId, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupState {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl GroupState {
    /// The name that clients see.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The first join of a group waits a little for more members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// The wait that is running.
    pub(super) delay: Duration,
    /// What may still be added when members keep coming.
    pub(super) remaining: Duration,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: Arc<str>,
    pub(super) state: GroupState,
    pub(super) previous_state: GroupState,
    /// Wall time of the last change of state; retention counts from when a group became empty.
    pub(super) state_since_ms: i64,
    /// Set by the first member and kept when the group is empty.
    pub(super) protocol_type: Option<String>,
    /// Chosen when a join completes.
    pub(super) protocol: Option<String>,
    pub(super) generation: i32,
    pub(super) leader: Option<MemberId>,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(super) static_members: BTreeMap<String, MemberId>,
    /// Ids that were given out and have not joined yet (member id required, KIP-394).
    pub(super) pending_members: BTreeSet<MemberId>,
    /// Members of the present generation that have not sent a sync.
    pub(super) pending_sync: BTreeSet<MemberId>,
    pub(super) initial_delay: Option<InitialDelay>,
    /// A member came while the initial delay was running.
    pub(super) new_member_added: bool,
    /// The generation whose assignment is on its way to the log.
    pub(super) assignment_in_flight: Option<i32>,
    /// What a replay of the log would give.
    pub(super) durable: Option<GroupSnapshot>,
    pub(super) next_order: u64,
}

impl Group {
    pub(super) fn new(id: Arc<str>, now_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Empty,
            state_since_ms: now_ms,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial_delay: None,
            new_member_added: false,
            assignment_in_flight: None,
            durable: None,
            next_order: 0,
        }
    }

    pub(super) fn transition(&mut self, state: GroupState, now_ms: i64) {
        self.previous_state = self.state;
        self.state = state;
        self.state_since_ms = now_ms;
    }

    /// Adds a member; the first one gives the group its protocol type and becomes its leader.
    pub(super) fn add(&mut self, mut member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        member.order = self.next_order;
        self.next_order += 1;
        self.leader.get_or_insert_with(|| Arc::clone(&member.id));
        self.pending_members.remove(&member.id);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), Arc::clone(&member.id));
        }
        self.members.insert(Arc::clone(&member.id), member);
    }

    /// Takes a member out; the longest-standing one follows a leader.
    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending_members.remove(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        if let Some(instance_id) = &member.instance_id
            && self.static_members.get(instance_id) == Some(&member.id)
        {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(id) {
            let next = self.members.values().min_by_key(|other| other.order);
            self.leader = next.map(|other| Arc::clone(&other.id));
        }
        Some(member)
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    pub(super) fn awaiting_join_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    pub(super) fn all_have_joined(&self) -> bool {
        self.pending_members.is_empty()
            && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// Whether a rebalance may begin (it has not begun already).
    pub(super) fn can_rebalance(&self) -> bool {
        self.state != GroupState::PreparingRebalance
    }

    /// The longest rebalance timeout of a member: nobody is thrown out before his own time.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Whether a member with these protocols fits in.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everybody_knows = |name: &str| {
            self.members.values().all(|member| member.protocols.iter().any(|p| p.name == name))
        };
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| everybody_knows(&protocol.name))
    }

    /// The protocol that most members prefer among those that all know. Members vote for their
    /// first one; among equals the leader's order decides.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let known_by_all = |name: &str| {
            self.members.values().all(|member| member.protocols.iter().any(|p| p.name == name))
        };
        let leader = self.members.get(self.leader.as_ref()?)?;
        let candidates: Vec<&str> =
            leader.protocols.iter().map(|p| p.name.as_str()).filter(|n| known_by_all(n)).collect();
        let votes = |candidate: &str| {
            let choice = |member: &Member| {
                let first = member.protocols.iter().find(|p| candidates.contains(&p.name.as_str()));
                first.is_some_and(|protocol| protocol.name == candidate)
            };
            self.members.values().filter(|member| choice(member)).count()
        };
        // `max_by_key` takes the last of equals, and the leader's first must win.
        candidates.iter().rev().max_by_key(|name| votes(name)).map(|name| (*name).to_owned())
    }

    /// Makes sure that the leader takes part in the join that completes. False when nobody does.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &&Member| member.awaiting_join.is_some();
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.as_ref().is_some_and(joined) {
            return true;
        }
        let next = self.members.values().filter(joined).min_by_key(|member| member.order);
        let Some(next) = next.map(|member| Arc::clone(&member.id)) else { return false };
        self.leader = Some(next);
        true
    }

    /// Whether nothing of the group is worth keeping: no member, no id given out, nothing in the
    /// log.
    pub(super) fn is_forgettable(&self) -> bool {
        self.members.is_empty()
            && self.pending_members.is_empty()
            && self.durable.is_none()
            && self.generation == 0
    }
}
