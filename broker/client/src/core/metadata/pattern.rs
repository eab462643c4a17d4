//! Topics by pattern: all topics there are are asked for, and those that match are followed.
//!
//! Names that do not match are not kept. A topic that is wanted for another reason too stays when
//! the pattern ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::metadata::MetadataResponseTopic;
use regex::Regex;

use super::{Entry, Metadata};
use crate::limits::TOPICS_MAX;

impl Metadata {
    /// Follows the topics whose whole name matches, but for internal ones; `None` ends that.
    pub(crate) fn follow(&mut self, pattern: Option<Regex>) {
        if pattern.is_none() && self.pattern.is_none() {
            return;
        }
        for topic in self.matched.take().unwrap_or_default() {
            self.topics.remove(&topic);
        }
        self.pattern = pattern;
        self.asked = true;
    }

    /// The topics that match, once that is known.
    pub(crate) fn matching(&self) -> Option<Vec<Arc<str>>> {
        let (pattern, _) = (self.pattern.as_ref()?, self.matched.as_ref()?);
        let known = |entry: &Entry| matches!(entry, Entry::Known(topic) if !topic.is_internal);
        let matches = |(name, entry): &(&Arc<str>, &Entry)| known(entry) && pattern.is_match(name);
        Some(self.topics.iter().filter(matches).map(|(name, _)| name.clone()).collect())
    }

    /// An answer about all topics there are: those that match are followed, and what is not named
    /// does not exist.
    pub(super) fn apply_pattern(&mut self, all: &[MetadataResponseTopic]) {
        let Some(pattern) = &self.pattern else { return };
        let names: BTreeSet<&str> = all.iter().filter_map(|t| t.name.as_deref()).collect();
        let mut matched = self.matched.take().unwrap_or_default();
        for gone in matched.extract_if(.., |name| !names.contains(&**name)) {
            self.topics.remove(&gone);
        }
        self.is_full = false;
        for topic in all.iter().filter(|topic| topic.error_code.is_ok() && !topic.is_internal) {
            let Some(name) = topic.name.as_deref().filter(|name| pattern.is_match(name)) else {
                continue;
            };
            if self.topics.contains_key(name) {
                continue;
            }
            if self.topics.len() >= TOPICS_MAX {
                self.is_full = true;
                break;
            }
            let name: Arc<str> = name.into();
            self.topics.insert(name.clone(), Entry::NotAsked);
            matched.insert(name);
        }
        for (name, entry) in &mut self.topics {
            if !names.contains(&**name) {
                *entry = Entry::Failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            }
        }
        self.matched = Some(matched);
    }
}
