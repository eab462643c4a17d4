//! How many partitions each topic and how many tasks each sub-topology has.
//!
//! - Topics that meet in a join must have equally many partitions. Repartition topics adopt the
//!   count of the topics they meet; external topics that differ are an error.
//! - A repartition topic that meets no other has as many partitions as its writer has tasks, unless
//!   the program says otherwise.
//! - A sub-topology has as many tasks as its widest source topic has partitions.

use std::collections::{BTreeMap, BTreeSet};

use super::{NodeId, Role, SubTopology, TopicName, Topology};
use crate::error::StreamsError;

/// The partition counts of a running application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCounts {
    /// By the topics' names on the broker: all source topics, external and repartition.
    pub topics: BTreeMap<String, i32>,
    /// Tasks of each sub-topology.
    pub tasks: Vec<i32>,
}

impl Topology {
    /// Decides all counts from those of the external topics.
    pub fn partition_counts(
        &self,
        application_id: &str,
        external: &BTreeMap<String, i32>,
    ) -> Result<PartitionCounts, StreamsError> {
        let mut counts: BTreeMap<TopicName, i32> = BTreeMap::new();
        let mut mistakes = Vec::new();
        for source in self.graph.nodes.iter().filter_map(|node| node.source()) {
            let given = match &source.topic {
                TopicName::External(name) => external.get(name).copied(),
                TopicName::Repartition(_) => source.partitions,
            };
            match (given, &source.topic) {
                (Some(count), _) => drop(counts.insert(source.topic.clone(), count)),
                (None, TopicName::External(name)) => {
                    mistakes.push(format!("source topic {name} does not exist"));
                }
                (None, TopicName::Repartition(_)) => {}
            }
        }
        let groups = self.copartition_groups();
        // Each round settles at least one more topic, or nothing is left that can be settled.
        for _ in 0..=self.graph.nodes.len() {
            settle_groups(&groups, &mut counts);
            self.settle_by_writers(&groups, &mut counts);
        }
        mistakes.extend(groups.iter().filter_map(|group| disagreement(group, &counts)));
        if !mistakes.is_empty() {
            return Err(StreamsError::Topology(mistakes));
        }
        let tasks = self.subs.iter().map(|sub| self.tasks_of(sub, &counts).unwrap_or(0)).collect();
        let topics = counts.into_iter().map(|(name, n)| (name.resolve(application_id), n));
        Ok(PartitionCounts { topics: topics.collect(), tasks })
    }

    fn settle_by_writers(
        &self,
        groups: &[BTreeSet<TopicName>],
        counts: &mut BTreeMap<TopicName, i32>,
    ) {
        for source in self.graph.nodes.iter().filter_map(|node| node.source()) {
            let is_open = !counts.contains_key(&source.topic);
            // A topic that meets others adopts their count once it is known.
            let waits = groups.iter().any(|group| {
                group.contains(&source.topic)
                    && group.iter().any(|topic| topic.external().is_some())
            });
            if !is_open || waits {
                continue;
            }
            let writer = self.writer_of(&source.topic).map(|index| &self.subs[index]);
            if let Some(count) = writer.and_then(|sub| self.tasks_of(sub, counts)) {
                counts.insert(source.topic.clone(), count);
            }
        }
    }

    /// The widest source of the sub-topology; `None` while one of them is not known.
    fn tasks_of(&self, sub: &SubTopology, counts: &BTreeMap<TopicName, i32>) -> Option<i32> {
        let sources = sub.nodes.iter().filter_map(|id| self.graph.nodes[id.0].source());
        let known: Option<Vec<i32>> =
            sources.map(|source| counts.get(&source.topic).copied()).collect();
        known?.into_iter().max()
    }

    /// The sets of topics that must agree: all sources above each join.
    fn copartition_groups(&self) -> Vec<BTreeSet<TopicName>> {
        let joins = (0..self.graph.nodes.len()).filter(|index| self.graph.nodes[*index].is_join);
        let mut groups: Vec<BTreeSet<TopicName>> = Vec::new();
        for join in joins {
            let mut topics = BTreeSet::new();
            self.sources_above(NodeId(join), &mut topics);
            for store in &self.graph.nodes[join].stores {
                for (index, node) in self.graph.nodes.iter().enumerate() {
                    if node.stores.contains(store) && index != join && !node.is_join {
                        self.sources_above(NodeId(index), &mut topics);
                    }
                }
            }
            // Groups that share a topic are one group.
            while let Some(at) = groups.iter().position(|group| !group.is_disjoint(&topics)) {
                topics.extend(groups.swap_remove(at));
            }
            groups.push(topics);
        }
        groups
    }

    fn sources_above(&self, node: NodeId, topics: &mut BTreeSet<TopicName>) {
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            let node = &self.graph.nodes[id.0];
            if let Role::Source(source) = &node.role {
                topics.insert(source.topic.clone());
            }
            open.extend(node.parents.iter().copied());
        }
    }
}

fn settle_groups(groups: &[BTreeSet<TopicName>], counts: &mut BTreeMap<TopicName, i32>) {
    for group in groups {
        let Some(most) = group.iter().filter_map(|topic| counts.get(topic)).max().copied() else {
            continue;
        };
        for topic in group {
            if topic.external().is_none() {
                counts.entry(topic.clone()).or_insert(most);
            }
        }
    }
}

fn disagreement(group: &BTreeSet<TopicName>, counts: &BTreeMap<TopicName, i32>) -> Option<String> {
    let known: BTreeSet<i32> =
        group.iter().filter_map(|topic| counts.get(topic)).copied().collect();
    if known.len() <= 1 {
        return None;
    }
    let listed: Vec<String> = group
        .iter()
        .map(|topic| match counts.get(topic) {
            Some(count) => format!("{} has {count}", topic.resolve("*")),
            None => topic.resolve("*"),
        })
        .collect();
    Some(format!("topics that are joined need equally many partitions: {}", listed.join(", ")))
}
