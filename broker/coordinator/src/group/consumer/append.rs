//! What consumer groups send to the log, who waits for it, and taking it back.
//!
//! A decision is applied before the log has it. Whoever asks meanwhile is answered behind it, also
//! when his own request changes nothing: no answer speaks of what a power cut could take away.

use super::change::ConsumerChange;
use super::draft::Draft;
use super::state::ConsumerGroup;
use crate::group::GroupResponse;
use crate::group::append::Then;
use crate::group::coordinator::GroupCoordinator;
use crate::group::refuse::{failed_answer, join_error};
use crate::log::ReplyTo;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::sync::Arc;

/// An answer that leaves when the log has what stands behind it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) to: ReplyTo,
    pub(crate) api_version: i16,
    pub(crate) response: GroupResponse,
}

/// A decision about a consumer group on its way to the log.
#[derive(Debug)]
pub(crate) struct ConsumerAppend {
    pub(crate) group: Arc<str>,
    /// What takes the decision back; `None` when it cannot be.
    pub(crate) undo: Option<Vec<ConsumerChange>>,
    pub(crate) answers: Vec<Answer>,
}

impl GroupCoordinator {
    /// Sends a decision to the log. On an error everything is as it was before, and the answer is
    /// dropped: the caller has another one.
    pub(super) fn commit_draft(
        &mut self,
        draft: Draft,
        answer: Option<Answer>,
    ) -> Result<(), ErrorCode> {
        let group_id = Arc::clone(&draft.group.id);
        let Draft { group, changes, undo } = draft;
        if changes.is_empty() {
            self.put_consumer_group(group);
            self.answer_in_turn(&group_id, answer);
            return Ok(());
        }
        // Another kind of group was touched as well: that is not taken back piece by piece.
        let is_pure = changes.len() == undo.len();
        let answers = answer.into_iter().collect();
        let undo_kept = is_pure.then(|| undo.clone());
        let append = ConsumerAppend { group: Arc::clone(&group_id), undo: undo_kept, answers };
        let partition = self.partition_of(&group_id);
        match self.append(partition, changes, None, Then::Consumer(append)) {
            Ok(token) => {
                self.consumer_appends.insert(group_id, token);
                self.put_consumer_group(group);
                Ok(())
            }
            Err((code, _)) => {
                let before = Draft { group, changes: Vec::new(), undo }.roll_back();
                self.put_consumer_group(before);
                Err(code)
            }
        }
    }

    /// A group comes back to its place, unless nothing is left of it.
    pub(super) fn put_consumer_group(&mut self, group: ConsumerGroup) {
        if !group.is_vacant() {
            self.consumer_groups.insert(Arc::clone(&group.id), group);
        }
    }

    /// Answers behind what is on its way for the group, or now.
    pub(super) fn answer_in_turn(&mut self, group_id: &Arc<str>, answer: Option<Answer>) {
        let Some(answer) = answer else { return };
        let token = self.consumer_appends.get(group_id);
        let pending = token.and_then(|token| self.appends.get_mut(token));
        match pending.map(|append| &mut append.then) {
            Some(Then::Consumer(append)) => append.answers.push(answer),
            _ => self.reply(answer.to, answer.response),
        }
    }

    /// The log has refused the decision: it is taken back. False when that cannot be done, because
    /// other decisions build on it.
    pub(in crate::group) fn take_back(&mut self, now: Now, append: &mut ConsumerAppend) -> bool {
        // A later decision is in the way, or this one cannot be taken back.
        let Some(undo) = append.undo.take() else { return false };
        if self.consumer_appends.contains_key(&append.group) {
            return false;
        }
        let group = self.consumer_groups.remove(&append.group);
        let group = group.unwrap_or_else(|| ConsumerGroup::new(Arc::clone(&append.group)));
        let group = Draft { group, changes: Vec::new(), undo }.roll_back();
        self.put_consumer_group(group);
        self.arm_consumer_group(now, &append.group);
        // What was decided before is still on its way.
        let of_group = |then: &Then| matches!(then, Then::Consumer(c) if c.group == append.group);
        let earlier = self.appends.iter().rev().find(|(_, other)| of_group(&other.then));
        if let Some(token) = earlier.map(|(token, _)| *token) {
            self.consumer_appends.insert(Arc::clone(&append.group), token);
        }
        true
    }

    /// The answers of a decision leave.
    pub(in crate::group) fn answer_all(
        &mut self,
        append: ConsumerAppend,
        result: Result<(), ErrorCode>,
    ) {
        for Answer { to, api_version, response } in append.answers {
            let response = match result {
                Ok(()) => response,
                Err(code) => failed_answer(response, api_version, code),
            };
            self.reply(to, response);
        }
    }

    /// Members of a classic group that wait are told to come again: the group is of another kind
    /// now.
    pub(super) fn release_waiting(&mut self, group: crate::group::state::Group, code: ErrorCode) {
        for member in group.members.into_values() {
            if let Some(waiting) = member.awaiting_join {
                self.reply(waiting.to, join_error(waiting.api_version, &member.id, code));
            }
            if let Some(waiting) = member.awaiting_sync {
                self.reply(waiting.to, crate::group::refuse::sync_error(code));
            }
        }
    }
}
