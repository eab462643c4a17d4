//! What members want: topics by name and by pattern, as they exist now.
//!
//! The group looks at the topics when a subscription changes and when the metadata has a new
//! version. What it saw is kept as a hash beside the group epoch, so that a coordinator that takes
//! over can tell whether something has changed since.

use super::change::{ConsumerChange, GroupEpoch, ResolvedRegex};
use super::draft::Draft;
use super::member::MemberMetadata;
use super::regex::Pattern;
use super::state::ConsumerGroup;
use crate::group::TopicDirectory;
use mainstem_protocol::ids::TopicId;
use std::collections::{BTreeMap, BTreeSet};

impl ConsumerGroup {
    /// The existing topics that a member wants.
    pub(super) fn topics_wanted_by(
        &self,
        member: &MemberMetadata,
        topics: &dyn TopicDirectory,
    ) -> BTreeSet<TopicId> {
        let matched = member.regex.as_ref().and_then(|regex| self.regexes.get(regex));
        let matched = matched.into_iter().flat_map(|resolved| &resolved.topics);
        member.topics.iter().chain(matched).filter_map(|name| topics.topic_id(name)).collect()
    }

    /// All names that the group wants.
    fn names_wanted(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for member in self.members.values() {
            names.extend(member.topics.iter().map(String::as_str));
        }
        let used = self.regexes_in_use();
        let matched = self.regexes.iter().filter(|(regex, _)| used.contains(regex.as_str()));
        names.extend(matched.flat_map(|(_, resolved)| resolved.topics.iter().map(String::as_str)));
        names
    }

    pub(super) fn regexes_in_use(&self) -> BTreeSet<&str> {
        self.members.values().filter_map(|member| member.regex.as_deref()).collect()
    }

    /// A number that is another one when a wanted topic comes, goes, grows or is made anew (FNV-1a).
    fn hash_of_topics(&self, topics: &dyn TopicDirectory) -> i64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for name in self.names_wanted() {
            let Some(id) = topics.topic_id(name) else { continue };
            let count = topics.partition_count(id).unwrap_or(0);
            mix(name.as_bytes());
            mix(&[0]);
            mix(&id.0);
            mix(&count.to_be_bytes());
        }
        // 0 says that nobody looked.
        hash.max(1).cast_signed()
    }
}

impl Draft {
    /// Looks at the topics when there is a reason to, and raises the group epoch when the members'
    /// wishes or the topics have changed.
    pub(super) fn refresh_topics(
        &mut self,
        subscription_changed: bool,
        topics: &dyn TopicDirectory,
        now_ms: i64,
    ) {
        let is_new_version = self.group.topics_seen != Some(topics.version());
        if !subscription_changed && !is_new_version {
            return;
        }
        self.refresh_regexes(is_new_version, topics, now_ms);
        self.group.topics_seen = Some(topics.version());
        let (known, hash) = (self.group.metadata_hash(), self.group.hash_of_topics(topics));
        if subscription_changed || (known != 0 && known != hash) {
            self.bump_epoch(hash);
        } else if known != hash && self.group.epoch.is_some() {
            // Nobody had looked when the epoch was raised last; the assignment for it is yet to
            // come.
            let epoch = self.group.group_epoch();
            let is_assigned = epoch <= self.group.assignment_epoch();
            let epoch = if is_assigned { epoch.saturating_add(1) } else { epoch };
            let metadata_hash = hash;
            self.put(ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
        }
    }

    /// Asks again what the patterns match, and forgets those that nobody uses.
    fn refresh_regexes(&mut self, all: bool, topics: &dyn TopicDirectory, now_ms: i64) {
        let used: BTreeSet<String> =
            self.group.regexes_in_use().into_iter().map(str::to_owned).collect();
        let unused = self.group.regexes.keys().filter(|regex| !used.contains(*regex));
        for regex in unused.cloned().collect::<Vec<_>>() {
            self.put(ConsumerChange::Regex(regex, None));
        }
        let mut asked: BTreeMap<&str, (Pattern, BTreeSet<String>)> = BTreeMap::new();
        for regex in &used {
            if !all && self.group.regexes.contains_key(regex) {
                continue;
            }
            // A pattern of the log that does not compile here matches nothing.
            if let Ok(pattern) = Pattern::new(regex) {
                asked.insert(regex, (pattern, BTreeSet::new()));
            }
        }
        if asked.is_empty() {
            return;
        }
        topics.for_each_topic(&mut |name| {
            for (pattern, matched) in asked.values_mut() {
                if pattern.matches(name) {
                    matched.insert(name.to_owned());
                }
            }
        });
        for (regex, (_, matched)) in asked {
            let known = self.group.regexes.get(regex);
            if known.is_none_or(|known| known.topics != matched) {
                let (topics, version) = (matched, topics.version());
                let resolved = ResolvedRegex { topics, version, resolved_ms: now_ms };
                self.put(ConsumerChange::Regex(regex.to_owned(), Some(resolved)));
            }
        }
    }
}
