//! Kafka's names for settings that are called otherwise here, or mean nothing here.
//!
//! Somebody who brings a `server.properties` along shall be able to start with it: what has a
//! meaning is translated, what has none is named in a warning.

use std::collections::BTreeMap;

use mainstem_node::ConfigProblem;

use super::source::Given;

/// Another name for the same setting.
pub(super) const SAME: [(&str, &str); 1] = [("broker.id", "node.id")];

/// Two settings of the same thing: only one of them may be given.
const EITHER: [(&str, &str); 1] = [("log.dirs", "log.dir")];

/// The same setting in another unit: the value is multiplied.
pub(super) const UNITS: [(&str, &str, i64); 4] = [
    ("log.retention.hours", "log.retention.ms", 3_600_000),
    ("log.retention.minutes", "log.retention.ms", 60_000),
    ("log.roll.hours", "log.roll.ms", 3_600_000),
    ("log.retention.check.interval.minutes", "log.retention.check.interval.ms", 60_000),
];

/// Settings without a meaning here: threads are shards, and this broker stands alone.
pub(super) const MEANINGLESS: [&str; 20] = [
    "num.network.threads",
    "num.io.threads",
    "num.replica.fetchers",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
    "process.roles",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "controller.listener.names",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
    "zookeeper.connect",
    "zookeeper.connection.timeout.ms",
    "confluent.support.metrics.enable",
];

pub(super) fn translate(
    given: &mut BTreeMap<String, Given>,
    problems: &mut Vec<ConfigProblem>,
    warnings: &mut Vec<String>,
) {
    for key in MEANINGLESS {
        if given.remove(key).is_some() {
            warnings.push(format!("{key} has no meaning here and is ignored"));
        }
    }
    for (theirs, ours) in SAME {
        let Some(value) = given.remove(theirs) else { continue };
        if given.contains_key(ours) {
            problems.push(value.problem(theirs, format!("{ours} is given too")));
        } else {
            given.insert(ours.into(), value);
        }
    }
    for (one, other) in EITHER {
        if given.contains_key(other)
            && let Some(value) = given.remove(one)
        {
            problems.push(value.problem(one, format!("{other} is given too")));
        }
    }
    for (theirs, ours, factor) in UNITS {
        let Some(value) = given.remove(theirs) else { continue };
        // Kafka, too, lets the finer unit win.
        if given.contains_key(ours) {
            continue;
        }
        match value.value.trim().parse::<i64>().ok().and_then(|number| in_unit(number, factor)) {
            Some(number) => {
                let value = Given { value: number.to_string(), source: Some(theirs.into()) };
                given.insert(ours.into(), value);
            }
            None => {
                let problem = format!("`{}` is not a whole number in range", value.value);
                problems.push(value.problem(theirs, problem));
            }
        }
    }
}

/// Minus one stands for "without end" in every unit.
fn in_unit(number: i64, factor: i64) -> Option<i64> {
    if number < 0 { Some(-1) } else { number.checked_mul(factor) }
}
