//! Features: what a whole cluster agrees upon, by name and level.
//!
//! A *supported* range is what this release can do; the *finalized* level is what clients shall
//! act upon, and only one that is in the log differs from the default. Level 0 is "off".
//!
//! `metadata.version` has one level: it says which release of Kafka the requests and records
//! compare with, and tools derive the cluster's release from it. Nothing here depends upon it, so
//! there is nothing to raise or to lower.

use crate::Image;
use std::ops::RangeInclusive;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// Levels that this release can do.
    pub supported: RangeInclusive<i16>,
    /// The level of a cluster that has set none.
    pub default_level: i16,
}

const GROUP_VERSION: &str = "group.version";
/// 4.3-IV0.
const METADATA_VERSION: i16 = 30;

/// All features, by name.
pub static FEATURES: &[Feature] = &[
    // 1: clients may use the consumer protocol of groups (KIP-848).
    Feature { name: GROUP_VERSION, supported: 0..=1, default_level: 1 },
    Feature {
        name: "metadata.version",
        supported: METADATA_VERSION..=METADATA_VERSION,
        default_level: METADATA_VERSION,
    },
    // 2: an epoch per transaction (KIP-890). As in Kafka a client chooses by what it is shown, at
    // the begin of a transaction; which rules hold follows from the versions of its requests, so all
    // stay served at every level, and a transaction ends as it was begun.
    Feature { name: "transaction.version", supported: 0..=2, default_level: 2 },
];

impl Feature {
    /// The feature of that name.
    pub fn find(name: &str) -> Option<&'static Feature> {
        FEATURES.iter().find(|feature| feature.name == name)
    }

    /// Whether clients may use the consumer protocol of groups (KIP-848). As in Kafka the level may
    /// fall while such groups have members: these are refused from then on, time out and leave an
    /// empty group with its offsets to the classic protocol.
    pub fn has_consumer_protocol(image: &Image) -> bool {
        Feature::find(GROUP_VERSION).is_some_and(|feature| 1 <= feature.finalized_level(image))
    }

    /// The level that the cluster has agreed upon.
    pub fn finalized_level(&self, image: &Image) -> i16 {
        image.feature_level(self.name).unwrap_or(self.default_level)
    }
}
