//! What the consumer shall read: subscriptions by topic and by pattern, partitions by hand; and how
//! positions and metadata follow what the group gives.
//!
//! A pattern of a classic member is followed by metadata: whenever they are new, the topics that
//! match are the subscription. In the consumer protocol the coordinator gets the pattern.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use super::machine::ConsumerMachine;
use super::membership::Subscription;
use super::positions::Want;
use crate::config::{AutoOffsetReset, GroupProtocol};
use crate::core::list_offsets::{EARLIEST, LATEST};
use crate::error::{Cause, ClientError, Result};
use crate::records::TopicPartition;

impl ConsumerMachine {
    pub(crate) fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        if self.config.group_id.is_none() {
            return Err(ClientError::Config("group_id: needed to subscribe".to_owned()));
        }
        let mut topics: Vec<Arc<str>> = topics.iter().map(|topic| Arc::from(*topic)).collect();
        topics.sort();
        topics.dedup();
        topics.iter().try_for_each(|topic| self.want(topic))?;
        self.metadata.follow(None);
        self.matched_at = None;
        self.begin_subscription();
        let subscription = match topics.is_empty() {
            true => Subscription::None,
            false => Subscription::Topics(topics),
        };
        self.membership.subscribe(subscription);
        self.forget_topics();
        Ok(())
    }

    /// A classic member matches by itself, from the next metadata on.
    pub(crate) fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        if self.config.group_id.is_none() {
            return Err(ClientError::Config("group_id: needed to subscribe".to_owned()));
        }
        if self.config.group_protocol == GroupProtocol::Consumer {
            self.begin_subscription();
            self.membership.subscribe(Subscription::Pattern(pattern.into()));
            return Ok(());
        }
        // The pattern alone must be one: `a)(b` is not.
        let compiled = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
        let compiled =
            compiled.map_err(|error| ClientError::Config(format!("pattern: {error}")))?;
        self.begin_subscription();
        self.metadata.follow(Some(compiled));
        // Whatever was answered until now was no answer to the pattern.
        self.matched_at = Some(self.metadata.generation);
        Ok(())
    }

    fn begin_subscription(&mut self) {
        if !self.membership.is_subscribed() {
            self.positions.clear();
            self.membership.await_poll();
        }
    }

    /// New metadata may have new topics that match.
    pub(super) fn follow_pattern(&mut self) {
        let generation = self.metadata.generation;
        if self.closed || self.matched_at.is_none_or(|at| at == generation) {
            return;
        }
        if let Some(topics) = self.metadata.matching() {
            self.matched_at = Some(generation);
            if self.metadata.is_full {
                self.failure = Some(too_many_topics());
            }
            self.membership.subscribe(Subscription::Topics(topics));
        }
    }

    pub(crate) fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        partitions.iter().try_for_each(|partition| self.want(&partition.topic))?;
        self.metadata.follow(None);
        self.matched_at = None;
        self.membership.subscribe(Subscription::None);
        self.membership.take_changed();
        let want = self.first_want();
        self.positions.set(partitions, want);
        self.forget_topics();
        Ok(())
    }

    fn first_want(&self) -> Want {
        if self.config.group_id.is_some() { Want::Committed } else { self.reset() }
    }

    pub(super) fn reset(&self) -> Want {
        match self.config.auto_offset_reset {
            AutoOffsetReset::Earliest => Want::Time(EARLIEST),
            AutoOffsetReset::Latest => Want::Time(LATEST),
            AutoOffsetReset::None => Want::Nothing,
        }
    }

    pub(super) fn want(&mut self, topic: &Arc<str>) -> Result<()> {
        if self.metadata.want(topic) {
            return Ok(());
        }
        Err(too_many_topics())
    }

    /// The partitions that are read are the ones that are owned.
    pub(super) fn follow_ownership(&mut self) {
        let Some(owned) = self.membership.take_changed() else { return };
        let want = self.first_want();
        self.positions.set(&owned, want);
        for partition in &owned {
            self.metadata.want(&partition.topic);
        }
        self.forget_topics();
    }

    /// Topics that are neither read nor needed would be asked for as long as this client lives.
    fn forget_topics(&mut self) {
        let read = self.positions.partitions.keys();
        let read: BTreeSet<&Arc<str>> = read.map(|partition| &partition.topic).collect();
        let membership = &self.membership;
        self.metadata.retain(|topic| read.contains(topic) || membership.needs(topic));
    }
}

fn too_many_topics() -> ClientError {
    ClientError::Refused(Cause::text("more topics than this client follows"))
}
