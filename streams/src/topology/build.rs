//! From a graph to a checked topology: cutting, and all mistakes at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, NodeId, StoreId, TopicName, Topology};
use crate::error::StreamsError;

/// Records that one batch may hold. Larger gains nothing: a call per node and batch is already
/// small against the work on so many records.
pub(crate) const BATCH_RECORDS_MAX: usize = 1024;

/// What is connected by edges and stores.
#[derive(Debug, Clone)]
pub(crate) struct SubTopology {
    pub(crate) index: usize,
    /// In topological order.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) stores: Vec<StoreId>,
    pub(crate) batch_records_max: usize,
    /// With watermarks: a batch ends before a record that is older than one before it, because an
    /// operator here judges lateness by a time that moves between batches only.
    pub(crate) cuts_at_disorder: bool,
}

/// Checks the graph and cuts it into sub-topologies.
pub(crate) fn build(graph: Graph) -> Result<Topology, StreamsError> {
    let mut mistakes = graph.mistakes.clone();
    mistakes.extend(twice(graph.stores.iter().map(|store| store.name.clone()), "store"));
    mistakes.extend(twice(sources(&graph), "source topic"));
    mistakes.extend(twice(repartition_sinks(&graph), "repartition"));
    let subs = cut(&graph);
    if subs.is_empty() {
        mistakes.push("there is no source".to_owned());
    }
    match mistakes.is_empty() {
        true => Ok(Topology { graph, subs }),
        false => Err(StreamsError::Topology(mistakes)),
    }
}

fn sources(graph: &Graph) -> impl Iterator<Item = String> {
    graph.nodes.iter().filter_map(|node| node.source()).map(|source| source.topic.resolve("*"))
}

fn repartition_sinks(graph: &Graph) -> impl Iterator<Item = String> {
    let sinks = graph.nodes.iter().filter_map(|node| node.sink());
    sinks.filter_map(|sink| match &sink.topic {
        TopicName::Repartition(name) => Some(name.clone()),
        TopicName::External(_) => None,
    })
}

fn twice(names: impl Iterator<Item = String>, kind: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .filter(|name| !seen.insert(name.clone()))
        .map(|name| format!("{kind} {name} is used twice; keep the handle of the first use"))
        .collect()
}

fn cut(graph: &Graph) -> Vec<SubTopology> {
    let mut groups: Vec<usize> = (0..graph.nodes.len()).collect();
    let mut owner: BTreeMap<StoreId, usize> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for parent in &node.parents {
            unite(&mut groups, index, parent.0);
        }
        for store in &node.stores {
            let first = *owner.entry(*store).or_insert(index);
            unite(&mut groups, index, first);
        }
    }
    let mut members: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    for index in 0..graph.nodes.len() {
        members.entry(root(&groups, index)).or_default().push(NodeId(index));
    }
    let groups = members.into_values().enumerate();
    groups.map(|(index, nodes)| sub_topology(graph, index, nodes)).collect()
}

/// The least member stands for its group, so groups come in the order of their first node.
fn root(groups: &[usize], mut index: usize) -> usize {
    while groups[index] != index {
        index = groups[index];
    }
    index
}

fn unite(groups: &mut [usize], left: usize, right: usize) {
    let (left, right) = (root(groups, left), root(groups, right));
    groups[left.max(right)] = left.min(right);
}

fn sub_topology(graph: &Graph, index: usize, nodes: Vec<NodeId>) -> SubTopology {
    let stores: BTreeSet<StoreId> =
        nodes.iter().flat_map(|id| graph.nodes[id.0].stores.iter().copied()).collect();
    let is_per_record = nodes.iter().any(|id| graph.nodes[id.0].is_per_record)
        || nodes.iter().any(|id| has_meeting_paths(graph, *id));
    let batch_records_max = if is_per_record { 1 } else { BATCH_RECORDS_MAX };
    let cuts_at_disorder = graph.has_watermarks
        && nodes
            .iter()
            .any(|id| graph.nodes[id.0].source().is_some_and(|s| s.topic.external().is_some()))
        && stores.iter().any(|id| graph.stores[id.0].is_windowed);
    let stores = stores.into_iter().collect();
    SubTopology { index, nodes, stores, batch_records_max, cuts_at_disorder }
}

/// True if two paths from the source meet again: in a node, a store or a topic. Then a batch would
/// take all its records down one path before the first of them takes the other, which can be
/// observed where they meet.
fn has_meeting_paths(graph: &Graph, source: NodeId) -> bool {
    if graph.nodes[source.0].source().is_none() {
        return false;
    }
    let mut paths: BTreeMap<NodeId, usize> = BTreeMap::from([(source, 1)]);
    let mut stores: BTreeMap<StoreId, BTreeSet<NodeId>> = BTreeMap::new();
    let mut topics: BTreeMap<&TopicName, usize> = BTreeMap::new();
    for index in source.0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let arriving: usize = node.parents.iter().filter_map(|parent| paths.get(parent)).sum();
        if arriving > 1 {
            return true;
        }
        if arriving == 1 {
            paths.insert(NodeId(index), 1);
        }
        if !paths.contains_key(&NodeId(index)) {
            continue;
        }
        for store in &node.stores {
            stores.entry(*store).or_default().insert(NodeId(index));
        }
        if let Some(sink) = node.sink() {
            *topics.entry(&sink.topic).or_default() += 1;
        }
    }
    stores.values().any(|nodes| nodes.len() > 1) || topics.values().any(|count| *count > 1)
}
