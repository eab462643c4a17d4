//! The settings of consumer groups, with Kafka's names and defaults.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Settings of the consumer groups of a [`crate::group::GroupCoordinator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`
    pub session_timeout: Duration,
    /// `group.consumer.min.session.timeout.ms` and `max`: for the broker and for each group.
    pub session_timeout_range: RangeInclusive<Duration>,
    /// `group.consumer.heartbeat.interval.ms`: what members are told.
    pub heartbeat_interval: Duration,
    /// `group.consumer.min.heartbeat.interval.ms` and `max`.
    pub heartbeat_interval_range: RangeInclusive<Duration>,
    /// `group.consumer.assignment.interval.ms`: the least time between two target assignments of
    /// a group, so that many members that come at once are shared out at once (KIP-1263).
    pub assignment_interval: Duration,
    /// `group.consumer.min.assignment.interval.ms` and `max`.
    pub assignment_interval_range: RangeInclusive<Duration>,
    /// `group.consumer.max.size`. Kafka has no limit by default; we do.
    pub group_size_max: usize,
    /// `group.consumer.assignors`: those that members may ask for; the first is the default.
    pub assignors: Vec<ServerAssignor>,
    /// `group.consumer.migration.policy`
    pub migration_policy: MigrationPolicy,
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            session_timeout_range: Duration::from_secs(45)..=Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_interval_range: Duration::from_secs(5)..=Duration::from_secs(15),
            assignment_interval: Duration::from_secs(1),
            assignment_interval_range: Duration::ZERO..=Duration::from_secs(15),
            group_size_max: 10_000,
            assignors: vec![ServerAssignor::Uniform, ServerAssignor::Range],
            migration_policy: MigrationPolicy::Bidirectional,
        }
    }
}

/// What one group has of its own (`GROUP` resources of IncrementalAlterConfigs). `None` is the
/// broker's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerGroupOverrides {
    /// `consumer.session.timeout.ms`
    pub session_timeout: Option<Duration>,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_interval: Option<Duration>,
    /// `consumer.assignment.interval.ms`
    pub assignment_interval: Option<Duration>,
}

impl ConsumerGroupOverrides {
    pub(in crate::group) fn within(self, limits: &ConsumerGroupConfig) -> Self {
        let clamp = |value: Option<Duration>, range: &RangeInclusive<Duration>| {
            value.map(|value| value.max(*range.start()).min(*range.end()))
        };
        Self {
            session_timeout: clamp(self.session_timeout, &limits.session_timeout_range),
            heartbeat_interval: clamp(self.heartbeat_interval, &limits.heartbeat_interval_range),
            assignment_interval: clamp(self.assignment_interval, &limits.assignment_interval_range),
        }
    }
}

/// An assignor of the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerAssignor {
    /// As even as possible, and as much as possible stays where it is.
    Uniform,
    /// Ranges of each topic, so that equal partitions of different topics come together.
    Range,
}

impl ServerAssignor {
    /// The name that clients and settings use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of that name. Kafka's settings may also name its classes.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "uniform" | "org.apache.kafka.coordinator.group.assignor.UniformAssignor" => {
                Some(Self::Uniform)
            }
            "range" | "org.apache.kafka.coordinator.group.assignor.RangeAssignor" => {
                Some(Self::Range)
            }
            _ => None,
        }
    }
}

/// Which groups with members may change their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// Classic ones, when a member of the consumer protocol joins.
    Upgrade,
    /// Consumer ones, when the last member of the consumer protocol leaves.
    Downgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Disabled, Self::Upgrade, Self::Downgrade, Self::Bidirectional];

    /// The word in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Bidirectional => "bidirectional",
        }
    }

    pub(super) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(super) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}
