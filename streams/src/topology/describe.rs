//! The topology as text, in the form of Kafka's `Topology.describe()`.

use std::fmt::Write;

use super::{NodeId, Role, SubTopology, TopicName, Topology};

impl Topology {
    /// The sub-topologies with their nodes, stores and edges. Internal topics are named without
    /// the application id, which is not known before the topology runs.
    pub fn describe(&self) -> String {
        let mut text = String::from("Topologies:\n");
        for sub in &self.subs {
            let _ = writeln!(text, "   Sub-topology: {}", sub.index);
            for id in &sub.nodes {
                self.describe_node(&mut text, sub, *id);
            }
        }
        text
    }

    fn describe_node(&self, text: &mut String, sub: &SubTopology, id: NodeId) {
        let node = &self.graph.nodes[id.0];
        let _ = match &node.role {
            Role::Source(source) => {
                writeln!(text, "    Source: {} (topics: [{}])", node.name, shown(&source.topic))
            }
            Role::Sink(sink) => {
                writeln!(text, "    Sink: {} (topic: {})", node.name, shown(&sink.topic))
            }
            Role::Processor => {
                let stores: Vec<&str> =
                    node.stores.iter().map(|id| self.graph.stores[id.0].name.as_str()).collect();
                writeln!(text, "    Processor: {} (stores: [{}])", node.name, stores.join(", "))
            }
        };
        let children =
            sub.nodes.iter().filter(|child| self.graph.nodes[child.0].parents.contains(&id));
        let children: Vec<&str> =
            children.map(|child| self.graph.nodes[child.0].name.as_str()).collect();
        if !matches!(node.role, Role::Sink(_)) {
            let listed = if children.is_empty() { "none".to_owned() } else { children.join(", ") };
            let _ = writeln!(text, "      --> {listed}");
        }
        if !node.parents.is_empty() {
            let parents: Vec<&str> =
                node.parents.iter().map(|id| self.graph.nodes[id.0].name.as_str()).collect();
            let _ = writeln!(text, "      <-- {}", parents.join(", "));
        }
    }
}

fn shown(topic: &TopicName) -> String {
    match topic {
        TopicName::External(name) => name.clone(),
        TopicName::Repartition(name) => format!("{name}-repartition"),
    }
}
