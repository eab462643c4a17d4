//! What a resource's configuration is, and where each value comes from.
//!
//! A value may be set in several layers; the nearest one holds. For a topic these are the topic
//! itself, this broker while it ran, all brokers while they ran, the broker's file, the table. The
//! layers of running brokers use the brokers' names.

use super::broker::broker_definitions;
use super::definition::{BrokerDefinition, Definition, Effect, Kind};
use super::group::group_definitions;
use super::table::definitions;
use std::collections::BTreeMap;

/// Where a value comes from, with its number in DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    /// Set for this broker while it ran.
    Broker = 2,
    /// Set for all brokers while they ran.
    AllBrokers = 3,
    BrokerFile = 4,
    Default = 5,
    Group = 8,
}

/// One place that could have given the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
}

/// One configuration of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedConfig {
    pub name: &'static str,
    pub value: Option<String>,
    pub source: Source,
    /// True for settings that have only one value here, or are read at start only.
    pub read_only: bool,
    pub kind: Kind,
    pub documentation: &'static str,
    /// Every layer that has a value, the one that holds first.
    pub synonyms: Vec<Synonym>,
}

/// What holds for all topics or groups of a broker that do not say otherwise.
#[derive(Debug, Clone, Copy)]
pub struct BrokerLayers<'a> {
    /// Set for this broker while it ran, by the broker's names.
    pub broker: &'a BTreeMap<String, String>,
    /// Set for all brokers while they ran, by the brokers' names.
    pub all_brokers: &'a BTreeMap<String, String>,
    /// From the broker's file, by the names of topic configurations.
    pub file: &'a BTreeMap<String, String>,
}

/// All configurations of a topic, by name.
pub fn describe(
    topic: &BTreeMap<String, String>,
    layers: BrokerLayers<'_>,
) -> Vec<DescribedConfig> {
    let rows = definitions().iter();
    rows.map(|row| inherited(row, (topic, Source::Topic), layers)).collect()
}

/// All configurations of a group, by name.
pub fn describe_group(
    group: &BTreeMap<String, String>,
    layers: BrokerLayers<'_>,
) -> Vec<DescribedConfig> {
    let rows = group_definitions().iter();
    rows.map(|row| inherited(row, (group, Source::Group), layers)).collect()
}

fn inherited(
    row: &'static Definition,
    (own, source): (&BTreeMap<String, String>, Source),
    layers: BrokerLayers<'_>,
) -> DescribedConfig {
    let layer = |name, value: &String, source| Synonym { name, value: value.clone(), source };
    let running = [(layers.broker, Source::Broker), (layers.all_brokers, Source::AllBrokers)];
    let mut synonyms = Vec::new();
    synonyms.extend(own.get(row.name).map(|value| layer(row.name, value, source)));
    for (values, source) in running {
        let value = values.get(row.broker_name);
        synonyms.extend(value.map(|value| layer(row.broker_name, value, source)));
    }
    let in_file = layers.file.get(row.name);
    synonyms.extend(in_file.map(|value| layer(row.broker_name, value, Source::BrokerFile)));
    let name = if row.broker_name.is_empty() { row.name } else { row.broker_name };
    synonyms.push(Synonym { name, value: row.default.to_owned(), source: Source::Default });
    DescribedConfig {
        name: row.name,
        value: Some(synonyms[0].value.clone()),
        source: synonyms[0].source,
        read_only: matches!(row.effect, Effect::Fixed(_)),
        kind: row.kind,
        documentation: row.documentation,
        synonyms,
    }
}

/// All configurations of one broker, by name. `at_start` tells what its file or its code has set
/// for a row, if that is not the table's default.
pub fn describe_broker(
    broker: &BTreeMap<String, String>,
    all_brokers: &BTreeMap<String, String>,
    at_start: &dyn Fn(&BrokerDefinition) -> Option<String>,
) -> Vec<DescribedConfig> {
    let one = |row: BrokerDefinition| {
        let layers = [
            (broker.get(row.name).cloned(), Source::Broker),
            (all_brokers.get(row.name).cloned(), Source::AllBrokers),
            (at_start(&row), Source::BrokerFile),
            (row.default.map(str::to_owned), Source::Default),
        ];
        let synonyms = layers.into_iter().filter_map(|(value, source)| {
            value.map(|value| Synonym { name: row.name, value, source })
        });
        of_broker(&row, synonyms.collect())
    };
    broker_definitions().into_iter().map(one).collect()
}

/// What is set for all brokers while they run, by name.
pub fn describe_all_brokers(all_brokers: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    let set = |row: BrokerDefinition| {
        let value = all_brokers.get(row.name)?.clone();
        let synonym = Synonym { name: row.name, value, source: Source::AllBrokers };
        Some(of_broker(&row, vec![synonym]))
    };
    broker_definitions().into_iter().filter_map(set).collect()
}

fn of_broker(row: &BrokerDefinition, synonyms: Vec<Synonym>) -> DescribedConfig {
    let nearest = synonyms.first();
    DescribedConfig {
        name: row.name,
        value: nearest.map(|synonym| synonym.value.clone()),
        source: nearest.map_or(Source::Default, |synonym| synonym.source),
        read_only: !row.is_dynamic(),
        kind: row.kind,
        documentation: row.documentation,
        synonyms,
    }
}
