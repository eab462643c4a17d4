//! Tests of the parts that need no broker around them: settings, placement, sessions.

use crate::ask::{PartitionKey, Ticket};
use crate::cluster::shard_of;
use crate::config::{SETTINGS, Setting};
use crate::effect::ResponseSegment;
use crate::event::{ConnectionId, ShardIndex};
use crate::session::Sessions;
use crate::{FlushPolicy, Limits, NodeConfig};
use bytes::Bytes;
use mainstem_metadata::config::{BrokerDefinition, broker_definition, broker_definitions};
use mainstem_protocol::{PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn properties_become_settings() {
    let config = NodeConfig::from_properties(&properties(&[
        ("node.id", "7"),
        ("flush", "os"),
        ("num.partitions", " 4 "),
        ("log.retention.ms", "1000"),
        ("group.initial.rebalance.delay.ms", "0"),
    ]))
    .expect("all of them are right");
    assert_eq!((config.node_id.0, config.flush), (7, FlushPolicy::Os));
    assert_eq!(config.num_partitions, 4);
    assert_eq!(config.topic_defaults["retention.ms"], "1000");
    assert!(config.group_initial_rebalance_delay.is_zero());
}

#[test]
fn all_problems_are_told_at_once_with_their_keys() {
    let problems = NodeConfig::from_properties(&properties(&[
        ("node.id", "-1"),
        ("flush", "sometimes"),
        ("num.partitions", "many"),
        ("no.such.thing", "1"),
        ("group.max.session.timeout.ms", "1"),
        ("log.segment.bytes", "1"),
        ("log.preallocate", "true"),
        ("group.share.session.timeout.ms", "1"),
        ("listeners", "PLAINTEXT://:1"),
    ]))
    .expect_err("none of them is right");
    let keys: Vec<&str> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    // Keys first, in order; then relations between settings.
    let expected = [
        "flush",
        "group.share.session.timeout.ms",
        "listeners",
        "log.preallocate",
        "log.segment.bytes",
        "no.such.thing",
        "node.id",
        "num.partitions",
        "group.max.session.timeout.ms",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn what_is_shown_reads_back_as_it_was() {
    let config = NodeConfig::default();
    let mut again = NodeConfig { num_partitions: 99, ..NodeConfig::default() };
    let mut keys = BTreeSet::new();
    for setting in SETTINGS {
        assert!(keys.insert(setting.key), "{} stands twice", setting.key);
        if let Some(value) = setting.value(&config) {
            setting.apply(&mut again, &value).expect("a shown value can be read");
        }
    }
    assert_eq!(again, config);
    assert!(SETTINGS.is_sorted_by_key(|setting| setting.key));
}

#[test]
fn what_is_read_agrees_with_the_table() {
    let config = NodeConfig::default();
    for row in broker_definitions() {
        let own = Setting::find(row.name);
        assert_eq!(own.is_some(), row.name == "flush" || is_ours(&row), "{}", row.name);
        if let Some(setting) = own {
            let default = row.default.map(str::to_owned);
            assert_eq!(setting.value(&config), default, "{}", row.name);
            assert_eq!(config.given(&row), None, "{}", row.name);
        }
    }
    let known = |setting: &Setting| broker_definition(setting.key).is_some();
    assert!(SETTINGS.iter().all(known), "every setting has a row");
}

/// Rows that are neither inherited by topics or groups nor the shell's.
fn is_ours(row: &BrokerDefinition) -> bool {
    const SHELL: [&str; 9] = [
        "advertised.listeners",
        "connections.max.idle.ms",
        "listeners",
        "max.connections",
        "max.connections.per.ip",
        "metrics.listener",
        "port",
        "registry.listener",
        "shards",
    ];
    row.default_of.is_none() && !SHELL.contains(&row.name)
}

#[test]
fn what_changes_while_running_is_laid_over_the_start() {
    let mut start = NodeConfig { num_partitions: 2, ..NodeConfig::default() };
    start.topic_defaults.insert("retention.ms".to_owned(), "5".to_owned());
    let all = properties(&[("num.partitions", "3"), ("flush", "os"), ("gone.since", "1")]);
    let one = properties(&[("num.partitions", "4"), ("log.retention.ms", "7")]);
    let changed = start.with_changes([&all, &one]);
    assert_eq!((changed.num_partitions, changed.flush), (4, FlushPolicy::Os));
    assert_eq!(changed.topic_defaults["retention.ms"], "7");
    assert_eq!(start.with_changes([&properties(&[]), &properties(&[])]), start);
}

#[test]
fn limits_know_their_relations() {
    assert!(Limits::default().problems().is_empty());
    let wrong = Limits { frame_bytes_max: 10, frames_queued_max: 0, ..Limits::default() };
    assert_eq!(wrong.problems().len(), 2);
}

#[test]
fn partitions_of_a_topic_spread_over_all_shards() {
    for topic in 0..50_u8 {
        let key = |partition| PartitionKey {
            topic: TopicId([topic + 1; 16]),
            partition: PartitionIndex(partition),
        };
        let shards: BTreeSet<_> = (0..4).map(|index| shard_of("t", &key(index), 4)).collect();
        assert_eq!(shards.len(), 4);
        let other_life = PartitionKey { topic: TopicId([99; 16]), ..key(0) };
        assert_eq!(shard_of("t", &key(0), 4), shard_of("t", &other_life, 4));
        assert_eq!(shard_of("__consumer_offsets", &key(3), 4), ShardIndex::FIRST);
    }
}

fn segments(text: &'static str) -> Vec<ResponseSegment> {
    vec![ResponseSegment::Bytes(Bytes::from_static(text.as_bytes()))]
}

#[test]
fn answers_leave_in_order_and_only_produce_pipelines() {
    let limits = Limits { frames_queued_max: 4, ..Limits::default() };
    let connection = ConnectionId(1);
    let mut sessions = Sessions::default();
    sessions.connected(connection, "10.0.0.1:1");
    let produce = Bytes::from_static(&[0, 0, 0, 9]);
    let fetch = Bytes::from_static(&[0, 1, 0, 12]);
    for frame in [&produce, &produce, &fetch, &produce] {
        sessions.enqueue(connection, frame.clone());
    }
    assert_eq!(sessions.reading_changed(connection, &limits), Some(false));
    for ticket in [Ticket(1), Ticket(2)] {
        let frame = sessions.next_frame(connection, &limits).expect("produces pipeline");
        sessions.begin(connection, ticket, &frame);
    }
    assert!(sessions.next_frame(connection, &limits).is_none(), "a fetch waits for its turn");
    assert_eq!(sessions.reading_changed(connection, &limits), Some(true));
    assert!(sessions.answer(connection, Ticket(2), segments("second")).is_empty());
    assert_eq!(sessions.answer(connection, Ticket(1), segments("first")).len(), 2);
    let frame = sessions.next_frame(connection, &limits).expect("now it has its turn");
    sessions.begin(connection, Ticket(3), &frame);
    assert!(sessions.next_frame(connection, &limits).is_none(), "nothing overtakes a fetch");
    // A request without answer leaves its place silently.
    assert!(sessions.answer(connection, Ticket(3), Vec::new()).is_empty());
    assert!(sessions.next_frame(connection, &limits).is_some());
    sessions.enqueue(connection, fetch);
    assert!(sessions.close(connection));
    assert!(sessions.next_frame(connection, &limits).is_none(), "a closing one does nothing more");
    assert!(!sessions.close(connection));
}
