//! The topology: a graph of nodes and stores, cut into sub-topologies at repartition topics.
//!
//! Words:
//! - A *node* is a source, a processor or a sink. Edges go from earlier to later nodes, so the
//!   order of ids is a topological order.
//! - A *store* belongs to all nodes that name it, which puts them into one sub-topology.
//! - A *sub-topology* is what is connected by edges and stores; between sub-topologies records go
//!   through repartition topics.
//! - A *task* is one sub-topology at one partition number; it reads that partition of each of its
//!   source topics.
//!
//! Names of internal topics are Kafka's: `<application>-<name>-repartition` and
//! `<application>-<store>-changelog`.

mod build;
mod describe;
mod graph;
mod partitions;

use std::collections::BTreeSet;

pub(crate) use build::{SubTopology, build};
pub(crate) use graph::{
    Graph, Node, NodeId, Role, SchemaNeed, SinkSpec, SourceSpec, StoreSpec, TopicName, Wiring,
    needs,
};
pub use graph::{Reset, StoreId};
pub use partitions::PartitionCounts;

/// A topology that passed all checks; run it with `App` or `TestDriver`.
pub struct Topology {
    pub(crate) graph: Graph,
    pub(crate) subs: Vec<SubTopology>,
}

/// A topic with cleanup and a partition count that the application makes for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    pub name: String,
    pub partitions: i32,
    pub kind: InternalKind,
}

/// A codec with a schema at a topic.
pub(crate) struct SchemaUseAt {
    pub(crate) topic: String,
    /// True where the application writes: there it registers its schema. The subjects of topics
    /// that it only reads belong to their writers.
    pub(crate) is_written: bool,
    pub(crate) need: SchemaNeed,
}

/// What an internal topic is for, which decides how it is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalKind {
    /// Kept until it is consumed: never deleted by time.
    Repartition,
    /// The latest value per key. Of windows too, without retention by time: windows leave with a
    /// tombstone when they close, and brokers would judge the age of open ones by their own clock,
    /// which loses state where old data is processed again.
    Changelog,
}

impl Topology {
    /// The topics from outside that must exist before the application runs.
    pub fn external_topics(&self) -> BTreeSet<String> {
        let sources = self.graph.nodes.iter().filter_map(Node::source);
        sources.filter_map(|source| source.topic.external()).collect()
    }

    /// The internal topics of the application, given the counts of the external ones.
    pub fn internal_topics(
        &self,
        application_id: &str,
        counts: &PartitionCounts,
    ) -> Vec<InternalTopic> {
        let mut topics = Vec::new();
        for node in &self.graph.nodes {
            let Some(source) = node.source() else { continue };
            if let TopicName::Repartition(_) = source.topic {
                let name = source.topic.resolve(application_id);
                let partitions = counts.topics.get(&name).copied().unwrap_or(1);
                topics.push(InternalTopic { name, partitions, kind: InternalKind::Repartition });
            }
        }
        for sub in &self.subs {
            for id in &sub.stores {
                let store = &self.graph.stores[id.0];
                let (name, partitions) = (store.changelog(application_id), counts.tasks[sub.index]);
                topics.push(InternalTopic { name, partitions, kind: InternalKind::Changelog });
            }
        }
        topics
    }

    /// The codecs that need a schema registry, each with the topic it is used at.
    pub(crate) fn schema_uses(&self, application_id: &str) -> Vec<SchemaUseAt> {
        let mut uses = Vec::new();
        let mut add = |topic: String, is_written, needs: &[SchemaNeed]| {
            uses.extend(needs.iter().map(|need| {
                let (topic, need) = (topic.clone(), need.clone());
                SchemaUseAt { topic, is_written, need }
            }));
        };
        for node in &self.graph.nodes {
            match &node.role {
                Role::Source(source) => {
                    let is_own = source.topic.external().is_none();
                    add(source.topic.resolve(application_id), is_own, &node.schemas);
                }
                Role::Sink(sink) => add(sink.topic.resolve(application_id), true, &node.schemas),
                Role::Processor => {}
            }
        }
        for store in &self.graph.stores {
            add(store.changelog(application_id), true, &store.schemas);
        }
        uses
    }

    /// The sub-topology that writes the repartition topic, by position.
    pub(crate) fn writer_of(&self, topic: &TopicName) -> Option<usize> {
        self.subs.iter().position(|sub| {
            sub.nodes
                .iter()
                .any(|id| self.graph.nodes[id.0].sink().is_some_and(|s| &s.topic == topic))
        })
    }
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}
