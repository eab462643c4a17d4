//! What waits for the log, and what happens when the log has spoken.

use super::coordinator::TransactionCoordinator;
use super::init::granted;
use super::partitions::AddWaiter;
use super::state::Metadata;
use super::{TransactionEffect, end, init};
use crate::log::{AppendFailure, AppendToken, ReplyTo, append_failure};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{Offset, PartitionIndex};
use std::sync::Arc;

/// A record under way to the log.
#[derive(Debug)]
pub(super) struct PendingAppend {
    pub(super) partition: PartitionIndex,
    pub(super) id: Arc<str>,
    /// What the id becomes; `None` forgets it.
    pub(super) next: Option<Metadata>,
    pub(super) then: Then,
}

/// What to do when the fate of an append is known.
#[derive(Debug)]
pub(super) enum Then {
    Initialized {
        to: ReplyTo,
        api_version: i16,
    },
    Added(Vec<AddWaiter>),
    Ended {
        to: ReplyTo,
    },
    /// An abort against the client; `to` is a newcomer that has to ask again.
    Fenced {
        to: Option<ReplyTo>,
    },
    Completed,
    Forgotten,
}

impl TransactionCoordinator {
    /// The record of `token` is past the high watermark, or it is not. A token of a partition that
    /// was forgotten meanwhile is ignored.
    pub fn handle_appended(
        &mut self,
        now: Now,
        token: AppendToken,
        result: Result<Offset, ErrorCode>,
    ) {
        let Some(append) = self.appends.remove(&token) else { return };
        let result = match result.map_err(append_failure) {
            Ok(_) => Ok(()),
            Err(AppendFailure::Refused(code)) => Err(code),
            Err(AppendFailure::Unknown(code)) => {
                let partition = append.partition;
                tracing::warn!(%partition, ?code, "an append ended in doubt; loading again");
                self.appends.insert(token, append);
                return self.reload(partition, code);
            }
        };
        let PendingAppend { id, next, then, .. } = append;
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.in_transition = false;
            transaction.is_ending = false;
        }
        if result.is_ok() {
            self.apply(&id, next);
            self.arm_timeout(now, &id);
        }
        self.finish(now, &id, then, result);
        self.serve_waiting(now, &id);
    }

    /// The only writer of what is durable.
    fn apply(&mut self, id: &Arc<str>, next: Option<Metadata>) {
        match next {
            Some(next) => {
                let transaction = self.transactions.get_mut(id);
                transaction.expect("an id in transition is known").metadata = next;
            }
            None => {
                self.transactions.remove(id);
            }
        }
    }

    fn finish(&mut self, now: Now, id: &Arc<str>, then: Then, result: Result<(), ErrorCode>) {
        match (then, result) {
            (Then::Initialized { to, .. }, Ok(())) => {
                let metadata = &self.transactions[id].metadata;
                let response = granted(metadata.producer_id, metadata.producer_epoch);
                self.reply(to, response);
            }
            (Then::Ended { to }, Ok(())) => {
                let (producer, epoch) = self.transactions[id].metadata.producer_after_end();
                self.reply(to, end::ended(producer, epoch));
                self.begin_markers(now, id);
            }
            (Then::Fenced { to }, Ok(())) => {
                if let Some(to) = to {
                    self.refuse(Then::Fenced { to: Some(to) }, ErrorCode::CONCURRENT_TRANSACTIONS);
                }
                self.begin_markers(now, id);
            }
            (Then::Added(waiters), result) => {
                for waiter in waiters {
                    self.added(waiter, result);
                }
            }
            (Then::Completed | Then::Forgotten, Ok(())) => {}
            (Then::Completed, Err(_)) => self.complete_later(now, id),
            (Then::Fenced { to: None }, Err(_)) => self.arm_timeout(now, id),
            (then, Err(code)) => self.refuse(then, code),
        }
    }

    /// Answers whoever waits, if somebody does.
    fn refuse(&mut self, then: Then, code: ErrorCode) {
        match then {
            Then::Initialized { to, api_version } => {
                self.reply(to, init::refused(api_version, code));
            }
            // Codes that depend on the version do not come from the log.
            Then::Fenced { to: Some(to) } => self.reply(to, init::refused(i16::MAX, code)),
            Then::Ended { to } => self.reply(to, end::refused(i16::MAX, code)),
            Then::Added(waiters) => {
                for waiter in waiters {
                    self.added(waiter, Err(code));
                }
            }
            Then::Fenced { to: None } | Then::Completed | Then::Forgotten => {}
        }
    }

    /// Forgets a partition whose log may say something else than this machine.
    fn reload(&mut self, partition: PartitionIndex, code: ErrorCode) {
        let epoch = self.residency.epoch(partition);
        self.forget(partition, code);
        if let Some(epoch) = epoch {
            self.residency.begin_load(partition, epoch);
            self.emit(TransactionEffect::Reload { partition });
        }
    }

    /// Drops everything of a partition and answers all who wait for it.
    pub(super) fn forget(&mut self, partition: PartitionIndex, code: ErrorCode) {
        let tokens: Vec<AppendToken> = self
            .appends
            .iter()
            .filter(|(_, append)| append.partition == partition)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            let append = self.appends.remove(&token).expect("the token was just listed");
            self.refuse(append.then, code);
        }
        let partitions = self.config.state_partitions;
        let waiting: Vec<Arc<str>> = self.waiting_adds.keys().cloned().collect();
        for id in waiting {
            if crate::log::partition_for(&id, partitions) == partition {
                self.dismiss_waiting(&id, code);
            }
        }
        let is_gone = |id: &Arc<str>| crate::log::partition_for(id, partitions) == partition;
        self.transactions.retain(|id, _| !is_gone(id));
        self.rounds.retain(|_, id| !is_gone(id));
        self.timers.retain(|timer| !timer.id().is_some_and(is_gone));
        let rounds = &self.rounds;
        let known: Vec<_> = rounds.keys().copied().collect();
        // What nobody has taken out yet must not happen after its state is gone.
        self.retain_effects(|effect| match effect {
            TransactionEffect::Append { partition: of, .. } => *of != partition,
            TransactionEffect::WriteMarkers(markers) => known.contains(&markers.token),
            _ => true,
        });
    }
}
