//! What a topic's configuration is, and where each value comes from.

use super::definition::{Definition, Effect, Kind};
use super::table::definitions;
use std::collections::BTreeMap;

/// Where a value comes from, with its number in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    BrokerFile = 4,
    Default = 5,
}

/// One place that could have given the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
}

/// One configuration of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedConfig {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
    /// True for settings that have only one value here.
    pub read_only: bool,
    pub kind: Kind,
    pub documentation: &'static str,
    /// Every layer that has a value, the one that holds first.
    pub synonyms: Vec<Synonym>,
}

/// All configurations of a topic, by name.
pub fn describe(
    topic: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> Vec<DescribedConfig> {
    definitions().iter().map(|row| describe_one(row, topic, broker)).collect()
}

fn describe_one(
    row: &'static Definition,
    topic: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> DescribedConfig {
    let layer = |name, value: &str, source| Synonym { name, value: value.to_owned(), source };
    let mut synonyms = Vec::new();
    synonyms.extend(topic.get(row.name).map(|value| layer(row.name, value, Source::Topic)));
    let in_file = broker.get(row.name);
    synonyms.extend(in_file.map(|value| layer(row.broker_name, value, Source::BrokerFile)));
    synonyms.push(layer(row.broker_name, row.default, Source::Default));
    DescribedConfig {
        name: row.name,
        value: synonyms[0].value.clone(),
        source: synonyms[0].source,
        read_only: matches!(row.effect, Effect::Fixed(_)),
        kind: row.kind,
        documentation: row.documentation,
        synonyms,
    }
}
