//! The table of group configurations, in the order of their names.
//!
//! A group's configuration may be set before the group exists and outlives it.

use super::definition::{Definition, Effect, Kind};
use Effect::{Fixed, Honoured};

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
    row("consumer.heartbeat.interval.ms", INT, "5000", "group.consumer.heartbeat.interval.ms", Honoured,
        "How often a member of the group says that it is there."),
    row("consumer.session.timeout.ms", INT, "45000", "group.consumer.session.timeout.ms", Honoured,
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
