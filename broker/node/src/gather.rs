//! Requests that ask something about each of many partitions: cut by shard, gathered into rows.
//!
//! A request of this kind names topics and partitions, and its response has one row for each of
//! them, in the same order. An [`Inquiry`] says what is asked and how a row is filled;
//! [`Questions`] collects the rows while the request is read, and [`Gather`] is what waits until
//! the shards of all partitions have answered.
//!
//! Invariants:
//! - Every row is filled once: at once when there is nobody to ask, else by its shard's answer.
//! - One question per shard, so a request costs as many messages as there are shards, not rows.
//!
//! Absent on purpose: Produce and Fetch, whose answers come one by one or more than once.

use crate::api::Pending;
use crate::ask::{Ask, Item, Outcome, PartitionKey, Ticket};
use crate::cluster::{ClusterView, shard_of};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_protocol::{ErrorCode, Message, PartitionIndex, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one API asks of partitions, and what it makes of the answers.
pub(crate) trait Inquiry: Sized {
    /// What is asked about one partition.
    type Question;
    /// What its shard says.
    type Answer;
    /// One topic of the response.
    type Topic;
    /// One partition of it.
    type Row;
    type Response: Message;

    /// The message that carries the questions to one shard.
    fn ask(items: Vec<Item<Self::Question>>) -> Ask;
    /// Where a topic of the response has its rows.
    fn rows(topic: &mut Self::Topic) -> &mut Vec<Self::Row>;
    /// Writes an answer, or the reason why there is none, into its row.
    fn fill(&self, row: &mut Self::Row, answer: Result<Self::Answer, ErrorCode>);
    fn response(topics: Vec<Self::Topic>) -> Self::Response;
    fn pending(gather: Gather<Self>) -> Pending;
}

/// The rows of a request so far.
pub(crate) struct Gather<I: Inquiry> {
    inquiry: I,
    topics: Vec<I::Topic>,
    /// Where in `topics` each slot is.
    slots: Vec<(usize, usize)>,
    /// Shards that have not answered.
    missing: usize,
}

/// A request while it is read: its rows, and the questions that they lead to.
pub(crate) struct Questions<I: Inquiry> {
    gather: Gather<I>,
    view: ClusterView,
    shard_count: u16,
    /// The topic that rows belong to now, if it exists.
    topic: Option<(Arc<str>, TopicId)>,
    by_shard: BTreeMap<ShardIndex, Vec<Item<I::Question>>>,
    refused: Vec<ErrorCode>,
}

impl<I: Inquiry> Questions<I> {
    pub(crate) fn new(node: &ShardNode, inquiry: I) -> Questions<I> {
        Questions {
            gather: Gather { inquiry, topics: Vec::new(), slots: Vec::new(), missing: 0 },
            view: node.view(),
            shard_count: node.shard_count,
            topic: None,
            by_shard: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    /// Begins a topic; `answer` is how it stands in the response, without rows.
    pub(crate) fn topic(&mut self, name: &str, answer: I::Topic) {
        self.topic = self.view.topic(name);
        self.gather.topics.push(answer);
    }

    /// Adds a partition of the topic. An error of `question` goes before that of a partition
    /// which does not exist.
    pub(crate) fn partition(
        &mut self,
        index: i32,
        mut row: I::Row,
        question: Result<I::Question, ErrorCode>,
    ) {
        let place = self.gather.topics.len() - 1;
        let placed = question.and_then(|question| {
            let (shard, key) = self.place(index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
            Ok((shard, key, question))
        });
        match placed {
            Ok((shard, key, question)) => {
                let slot = self.gather.slots.len();
                self.by_shard.entry(shard).or_default().push(Item { slot, key, question });
            }
            Err(error) => {
                self.gather.inquiry.fill(&mut row, Err(error));
                self.refused.push(error);
            }
        }
        let rows = I::rows(&mut self.gather.topics[place]);
        self.gather.slots.push((place, rows.len()));
        rows.push(row);
    }

    fn place(&self, index: i32) -> Option<(ShardIndex, PartitionKey)> {
        let (name, topic) = self.topic.as_ref()?;
        let key = PartitionKey { topic: *topic, partition: PartitionIndex(index) };
        let exists = self.view.has_partition(&key);
        exists.then(|| (shard_of(name, &key, self.shard_count), key))
    }

    /// Asks the shards, or answers when there is nothing to ask.
    pub(crate) fn send(mut self, node: &mut ShardNode, ticket: Ticket) {
        for error in self.refused {
            node.metrics.error(error);
        }
        self.gather.missing = self.by_shard.len();
        for (shard, items) in self.by_shard {
            node.ask(shard, ticket, I::ask(items));
        }
        self.gather.finish_or_wait(node, ticket);
    }
}

impl<I: Inquiry> Gather<I> {
    /// A shard has answered.
    pub(crate) fn told(
        mut self,
        node: &mut ShardNode,
        ticket: Ticket,
        outcomes: Vec<Outcome<I::Answer>>,
    ) {
        self.missing -= 1;
        for outcome in outcomes {
            node.metrics.error(outcome.answer.as_ref().err().copied().unwrap_or_default());
            let Some((topic, row)) = self.slots.get(outcome.slot).copied() else { continue };
            self.inquiry.fill(&mut I::rows(&mut self.topics[topic])[row], outcome.answer);
        }
        self.finish_or_wait(node, ticket);
    }

    fn finish_or_wait(self, node: &mut ShardNode, ticket: Ticket) {
        if 0 < self.missing {
            node.pending.insert(ticket, I::pending(self));
        } else {
            node.respond(ticket, &I::response(self.topics));
        }
    }
}
