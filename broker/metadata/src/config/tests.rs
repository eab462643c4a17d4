//! The table of topic configurations: its order, its defaults, and what is refused with which words.

use super::*;
use std::collections::BTreeMap;

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_valid() {
    let names: Vec<&str> = definitions().iter().map(|row| row.name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for row in definitions() {
        assert_eq!(validate(&set(&[(row.name, row.default)])), Ok(()), "{}", row.name);
    }
    assert!(group_definitions().is_sorted_by_key(|row| row.name));
    for row in group_definitions() {
        assert_eq!(
            validate_group(&set(&[(row.name, row.default)]), &set(&[])),
            Ok(()),
            "{}",
            row.name
        );
    }
    let brokers = broker_definitions();
    let distinct = brokers.windows(2).all(|pair| pair[0].name < pair[1].name);
    assert!(distinct, "a broker's setting is the default of one thing");
    for row in brokers {
        assert_eq!(broker_definition(row.name), Some(row));
        if let Some(default) = row.default {
            assert_eq!(validate_at_start(row.name, default), Ok(()), "{}", row.name);
        }
    }
}

#[test]
fn values_are_checked() {
    let cases = [
        ("retention.ms", "-1", "ok"),
        ("retention.ms", " 10 ", "ok"),
        ("cleanup.policy", "compact,delete", "ok"),
        ("flush.policy", "os", "ok"),
        ("flush.messages", "1", "ok"),
        ("flush.ms", "0", "ok"),
        ("preallocate", "FALSE", "ok"),
        ("min.cleanable.dirty.ratio", "0.01", "ok"),
        (
            "retention.ms",
            "-2",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            "segment.bytes",
            "1e6",
            "Invalid value 1e6 for configuration segment.bytes: Not a number of type INT",
        ),
        (
            "segment.bytes",
            "2147483648",
            "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT",
        ),
        (
            "cleanup.policy",
            "shred",
            "Invalid value shred for configuration cleanup.policy: Valid list values are: compact, delete",
        ),
        (
            "message.timestamp.type",
            "Never",
            "Invalid value Never for configuration message.timestamp.type: String must be one of: CreateTime, \
             LogAppendTime",
        ),
        (
            "min.cleanable.dirty.ratio",
            "NaN",
            "Invalid value NaN for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        (
            "preallocate",
            "true",
            "Invalid value true for configuration preallocate: this broker only has false; segments grow as they are \
             written",
        ),
        (
            "flush.messages",
            "0",
            "Invalid value 0 for configuration flush.messages: Value must be at least 1",
        ),
        ("retention.hours", "1", "Unknown topic config name: retention.hours"),
    ];
    for (name, value, expected) in cases {
        let outcome = validate(&set(&[(name, value)]));
        let text = outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        assert_eq!(text, expected);
    }
    let lags = set(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")]);
    let errors = validate(&lags).expect_err("the lags contradict each other");
    assert!(matches!(errors.0[..], [ConfigError::Contradiction(_)]));
    let long = "0".repeat(2_000) + "1";
    assert!(validate(&set(&[("retention.ms", &long)])).is_err());
}

#[test]
fn all_problems_of_a_resource_are_said_at_once() {
    let wrong = set(&[("retention.ms", "-2"), ("no.such", "1"), ("preallocate", "true")]);
    let text = validate(&wrong).expect_err("all are wrong").to_string();
    assert_eq!(
        text,
        "Unknown topic config name: no.such; Invalid value true for configuration preallocate: this \
         broker only has false; segments grow as they are written; Invalid value -2 for configuration \
         retention.ms: Value must be at least -1"
    );
}

#[test]
fn running_brokers_take_what_can_change() {
    for (name, value, expected) in [
        ("log.retention.ms", "5", "ok"),
        ("num.partitions", "5", "ok"),
        ("flush", "os", "ok"),
        ("log.flush.interval.ms", "1000", "ok"),
        ("log.preallocate", "false", "ok"),
        (
            "num.partitions",
            "0",
            "Invalid value 0 for configuration num.partitions: Value must be at least 1",
        ),
        (
            "num.partitions",
            "10001",
            "Invalid value 10001 for configuration num.partitions: Value must be no more than 10000",
        ),
        ("node.id", "5", "Cannot update these configs dynamically: node.id"),
        ("retention.ms", "5", "Unknown broker config name: retention.ms"),
        ("", "5", "Unknown broker config name: "),
        (
            "log.preallocate",
            "true",
            "Invalid value true for configuration log.preallocate: this broker only has false; \
             segments grow as they are written",
        ),
    ] {
        let outcome = validate_broker(&set(&[(name, value)]));
        assert_eq!(
            outcome.map_or_else(|errors| errors.to_string(), |()| "ok".to_owned()),
            expected
        );
    }
}

#[test]
fn units_follow_from_names() {
    for (name, expected) in [
        ("retention.ms", "ms"),
        ("segment.bytes", "bytes"),
        ("offsets.retention.minutes", "min"),
        ("min.cleanable.dirty.ratio", "share"),
        ("cleanup.policy", ""),
    ] {
        assert_eq!(unit(name), expected, "{name}");
    }
}

#[test]
fn the_nearest_layer_holds() {
    let topic = set(&[("retention.ms", "5"), ("cleanup.policy", "compact")]);
    let broker = set(&[("retention.ms", "7"), ("flush.policy", "os")]);
    let settings = TopicSettings::resolve(&topic, &broker);
    assert_eq!(settings.retention_ms, 5);
    assert_eq!(settings.flush, FlushPolicy::Os);
    assert_eq!(settings.segment_bytes, 1_073_741_824);
    assert_eq!(settings.cleanup_policy, CleanupPolicy { compact: true, delete: false });

    let (one, all) = (set(&[("log.retention.ms", "6")]), set(&[("log.roll.ms", "8")]));
    let layers = BrokerLayers { broker: &one, all_brokers: &all, file: &broker };
    let described = describe(&topic, layers);
    let row = |name| described.iter().find(|row| row.name == name).expect("in the table");
    let shown = |name| {
        let layer = |layer: &Synonym| format!("{}={} {:?}", layer.name, layer.value, layer.source);
        let synonyms: Vec<String> = row(name).synonyms.iter().map(layer).collect();
        synonyms.join(", ")
    };
    assert_eq!(
        shown("retention.ms"),
        "retention.ms=5 Topic, log.retention.ms=6 Broker, log.retention.ms=7 BrokerFile, \
         log.retention.ms=604800000 Default"
    );
    assert_eq!(shown("segment.ms"), "log.roll.ms=8 AllBrokers, log.roll.ms=604800000 Default");
    assert_eq!(shown("flush.policy"), "flush=os BrokerFile, flush=commit Default");
    let retention = row("retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("5"), Source::Topic));
    assert!(row("preallocate").read_only && !retention.read_only);
}

#[test]
fn brokers_and_groups_are_described_too() {
    let (one, all) = (set(&[("num.partitions", "6")]), set(&[("num.partitions", "8")]));
    let rows = describe_broker(&one, &all, &|row| (row.name == "broker.rack").then(|| "r".into()));
    let row = |name| rows.iter().find(|row| row.name == name).expect("in the table");
    let sources: Vec<Source> = row("num.partitions").synonyms.iter().map(|s| s.source).collect();
    assert_eq!(sources, [Source::Broker, Source::AllBrokers, Source::Default]);
    assert_eq!(row("num.partitions").value.as_deref(), Some("6"));
    assert_eq!(row("broker.rack").source, Source::BrokerFile);
    assert_eq!((&row("cluster.id").value, row("cluster.id").source), (&None, Source::Default));
    assert!(row("node.id").read_only && !row("log.retention.ms").read_only);
    let set_for_all = describe_all_brokers(&all);
    let names: Vec<&str> = set_for_all.iter().map(|row| row.name).collect();
    assert_eq!(names, ["num.partitions"]);

    let none = BTreeMap::new();
    let layers = BrokerLayers { broker: &none, all_brokers: &none, file: &none };
    let group = describe_group(&set(&[("consumer.session.timeout.ms", "45000")]), layers);
    let row = group.iter().find(|row| row.name == "consumer.session.timeout.ms");
    let row = row.expect("in the table");
    assert_eq!(row.source, Source::Group);
    assert_eq!(row.synonyms[1].name, "group.consumer.session.timeout.ms");
}
