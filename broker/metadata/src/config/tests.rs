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
}

#[test]
fn values_are_checked() {
    let cases = [
        ("retention.ms", "-1", "ok"),
        ("retention.ms", " 10 ", "ok"),
        ("cleanup.policy", "compact,delete", "ok"),
        ("flush.policy", "os", "ok"),
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
            "Invalid value 1e6 for configuration segment.bytes: Not a number of type int",
        ),
        (
            "segment.bytes",
            "2147483648",
            "Invalid value 2147483648 for configuration segment.bytes: Not a number of type int",
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
            "flush.ms",
            "1000",
            "Invalid value 1000 for configuration flush.ms: this broker only has 9223372036854775807; use flush.policy",
        ),
        ("retention.hours", "1", "Unknown topic config name: retention.hours"),
    ];
    for (name, value, expected) in cases {
        let outcome = validate(&set(&[(name, value)]));
        let text = outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        assert_eq!(text, expected);
    }
    let lags = set(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")]);
    assert!(matches!(validate(&lags), Err(ConfigError::Contradiction(_))));
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

    let described = describe(&topic, &broker);
    let row = |name| described.iter().find(|row| row.name == name).expect("in the table");
    assert_eq!(
        (row("retention.ms").value.as_str(), row("retention.ms").source),
        ("5", Source::Topic)
    );
    assert_eq!(row("retention.ms").synonyms.len(), 3);
    assert_eq!(row("flush.policy").source, Source::BrokerFile);
    assert_eq!(row("segment.ms").source, Source::Default);
    assert!(row("preallocate").read_only);
}
