//! Which partitions the application has, and how it is asked for them and told of them.
//!
//! ```text
//! give --> owned, announced with the next poll (`Assigned`)
//! owned --ask_back--> asked --poll (`Revoked`, `Lost`)--> told --next poll--> gone
//! ```
//!
//! Invariants:
//! - Nothing changes under the caller: a partition that it was told about goes only with the poll
//!   after the one that said so. In between it may commit.
//! - What it was never told about goes without a word.
//! - What has been asked back is returned before what has been added.
//!
//! It does not know why partitions come and go: [`super::joining`] and [`super::reconcile`] do.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstem_protocol::TopicId;

use crate::records::{Rebalance, TopicPartition};

/// An assignment that the next poll reports.
#[derive(Debug)]
struct News {
    added: BTreeSet<TopicPartition>,
    user_data: Bytes,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    /// With the topic's id where the group's protocol goes by ids.
    owned: BTreeMap<TopicPartition, TopicId>,
    news: Option<News>,
    /// To be returned by the next poll.
    asked: BTreeSet<TopicPartition>,
    /// They are gone already: commits would be refused.
    asked_lost: bool,
    /// Were returned; the next poll gives them up.
    told: BTreeSet<TopicPartition>,
    told_lost: bool,
    /// How often something that the caller knew of was given up or lost.
    tenure: u64,
    /// How often what is owned has changed.
    revision: u64,
    /// The revision that the positions follow.
    followed: u64,
}

impl Ownership {
    pub(crate) fn owned(&self) -> &BTreeMap<TopicPartition, TopicId> {
        &self.owned
    }

    pub(crate) fn names(&self) -> Vec<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// Whether nothing waits to be given up.
    pub(crate) fn is_settled(&self) -> bool {
        self.asked.is_empty() && self.told.is_empty()
    }

    /// Whether the next poll gives up partitions for which commits are still taken.
    pub(crate) fn hands_over(&self) -> bool {
        !self.told.is_empty() && !self.told_lost
    }

    /// Grows whenever something goes that the caller knew of, so that a commit made before can be
    /// told from one made after.
    pub(crate) fn tenure(&self) -> u64 {
        self.tenure
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// What was committed before is not of the same membership as what comes.
    pub(crate) fn end_tenure(&mut self) {
        self.tenure += 1;
    }

    /// The names, when they have changed since this was asked.
    pub(crate) fn take_changed(&mut self) -> Option<Vec<TopicPartition>> {
        let has_changed = self.followed != self.revision;
        self.followed = self.revision;
        has_changed.then(|| self.names())
    }

    /// The caller gets these too. It is told even when there are none: a rebalance has ended.
    pub(crate) fn give(&mut self, added: BTreeMap<TopicPartition, TopicId>, user_data: Bytes) {
        let news = self
            .news
            .get_or_insert_with(|| News { added: BTreeSet::new(), user_data: Bytes::new() });
        news.user_data = user_data;
        news.added.extend(added.keys().cloned());
        self.revision += u64::from(!added.is_empty());
        self.owned.extend(added);
    }

    /// The caller shall give these up. `lost`: they are not its own any more.
    pub(crate) fn ask_back(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        lost: bool,
    ) {
        for partition in partitions {
            if !self.owned.contains_key(&partition) || self.told.contains(&partition) {
                continue;
            }
            if self.news.as_mut().is_some_and(|news| news.added.remove(&partition)) {
                self.owned.remove(&partition);
                self.revision += 1;
                continue;
            }
            self.asked.insert(partition);
        }
        if self.news.as_ref().is_some_and(|news| news.added.is_empty()) {
            self.news = None;
        }
        self.asked_lost |= lost && !self.asked.is_empty();
    }

    /// All partitions are lost.
    pub(crate) fn lose(&mut self) {
        self.tenure += 1;
        self.told_lost |= !self.told.is_empty();
        self.ask_back(self.names(), true);
        self.news = None;
    }

    /// Everything goes without a word: the caller itself ended it.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            tenure: self.tenure + 1,
            revision: self.revision + 1,
            followed: self.followed,
            ..Self::default()
        };
    }

    /// A poll begins: what the previous one returned as revoked or lost goes now.
    /// True when something does.
    pub(crate) fn begin_poll(&mut self) -> bool {
        if self.told.is_empty() {
            return false;
        }
        for partition in std::mem::take(&mut self.told) {
            self.owned.remove(&partition);
        }
        self.told_lost = false;
        self.tenure += 1;
        self.revision += 1;
        true
    }

    /// What a poll returns, if something has happened.
    pub(crate) fn poll_rebalance(&mut self) -> Option<Rebalance> {
        if !self.asked.is_empty() {
            self.told.extend(self.asked.iter().cloned());
            let partitions = std::mem::take(&mut self.asked).into_iter().collect();
            let lost = std::mem::take(&mut self.asked_lost);
            self.told_lost |= lost;
            return Some(match lost {
                true => Rebalance::Lost(partitions),
                false => Rebalance::Revoked(partitions),
            });
        }
        let News { added, user_data } = self.news.take()?;
        Some(Rebalance::Assigned { partitions: added.into_iter().collect(), user_data })
    }
}
