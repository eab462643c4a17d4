//! The table of group configurations, in the order of their names.
//!
//! A group's configuration may be set before the group exists and outlives it. A broker has a range
//! for what groups may set, and a value outside of it is refused; one that was set before the range
//! was narrowed is pulled into it by the coordinator.

use super::broker::broker_definition;
use super::definition::{Definition, Effect, Kind};
use super::value::ConfigError;
use Effect::{Fixed, Honoured};
use std::collections::BTreeMap;

/// How the broker's settings of consumer groups are named.
const CONSUMER_GROUPS: &str = "group.consumer.";
const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const NO_SHARE: &str = "there are no share groups";
const NO_STREAMS: &str = "there are no streams groups";
const INT: Kind = Kind::Int { min: 1 };

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_name: &'static str,
    effect: Effect,
    documentation: &'static str,
) -> Definition {
    Definition { name, kind, default, broker_name, effect, documentation }
}

#[rustfmt::skip]
const TABLE: &[Definition] = &[
    row("consumer.assignment.interval.ms", Kind::Int { min: 0 }, "1000",
        "group.consumer.assignment.interval.ms", Honoured, "Least time between two assignments of the group."),
    row(HEARTBEAT, INT, "5000", "group.consumer.heartbeat.interval.ms", Honoured,
        "How often a member of the group says that it is there."),
    row(SESSION_TIMEOUT, INT, "45000", "group.consumer.session.timeout.ms", Honoured,
        "How long a member may be silent before it is removed."),
    row("share.auto.offset.reset", Kind::Choice(&["latest", "earliest"]), "latest", "", Fixed(NO_SHARE),
        "Where a share group begins to read."),
    row("share.heartbeat.interval.ms", INT, "5000", "group.share.heartbeat.interval.ms", Fixed(NO_SHARE),
        "How often a member of a share group says that it is there."),
    row("share.isolation.level", Kind::Choice(&["read_uncommitted", "read_committed"]), "read_uncommitted", "",
        Fixed(NO_SHARE), "Whether a share group sees records of open transactions."),
    row("share.record.lock.duration.ms", Kind::Int { min: 1_000 }, "30000", "group.share.record.lock.duration.ms",
        Fixed(NO_SHARE), "How long a record is lent to a member of a share group."),
    row("share.session.timeout.ms", INT, "45000", "group.share.session.timeout.ms", Fixed(NO_SHARE),
        "How long a member of a share group may be silent before it is removed."),
    row("streams.heartbeat.interval.ms", INT, "5000", "group.streams.heartbeat.interval.ms", Fixed(NO_STREAMS),
        "How often a member of a streams group says that it is there."),
    row("streams.num.standby.replicas", Kind::Int { min: 0 }, "0", "group.streams.num.standby.replicas",
        Fixed(NO_STREAMS), "Standby copies of a streams group's state."),
    row("streams.session.timeout.ms", INT, "45000", "group.streams.session.timeout.ms", Fixed(NO_STREAMS),
        "How long a member of a streams group may be silent before it is removed."),
];

/// All group configurations, by name.
pub fn group_definitions() -> &'static [Definition] {
    TABLE
}

/// The row of that name.
pub fn group_definition(name: &str) -> Option<&'static Definition> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &TABLE[at])
}

/// What the ranges of a broker do not allow. `broker` has its settings by name, where they are not the
/// defaults; all values are numbers where they must be.
pub(super) fn out_of_bounds(
    group: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> Vec<ConfigError> {
    let of_broker = |name: &str| {
        let set = broker.get(name).map(String::as_str);
        let value = set.or_else(|| broker_definition(name).and_then(|row| row.default));
        value.and_then(|value| value.trim().parse::<i64>().ok())
    };
    let mut errors = Vec::new();
    for (row, value) in TABLE.iter().filter_map(|row| Some((row, group.get(row.name)?))) {
        let Some(setting) = row.broker_name.strip_prefix(CONSUMER_GROUPS) else { continue };
        let Ok(number) = value.trim().parse::<i64>() else { continue };
        let bound = |end: &str| {
            let name = format!("{CONSUMER_GROUPS}{end}.{setting}");
            of_broker(&name).map(|bound| (name, bound))
        };
        let problem = match (bound("min"), bound("max")) {
            (Some((name, least)), _) if number < least => {
                format!("Value must be at least {least}, the broker's {name}")
            }
            (_, Some((name, most))) if most < number => {
                format!("Value must be no more than {most}, the broker's {name}")
            }
            _ => continue,
        };
        errors.push(ConfigError::Invalid { name: row.name, value: value.clone(), problem });
    }
    let in_force = |name: &str| {
        let row = group_definition(name)?;
        let own = group.get(name).and_then(|value| value.trim().parse().ok());
        own.or_else(|| of_broker(row.broker_name))
    };
    if let (Some(session), Some(heartbeat)) = (in_force(SESSION_TIMEOUT), in_force(HEARTBEAT))
        && session <= heartbeat
    {
        let problem = format!("{SESSION_TIMEOUT} must be greater than {HEARTBEAT}");
        errors.push(ConfigError::Contradiction(problem));
    }
    errors
}
