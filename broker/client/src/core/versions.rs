//! Which version of which API a broker speaks, and which features a cluster has finalized.

use std::collections::BTreeMap;

use mainstem_protocol::Request;
use mainstem_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// Asks a broker what it speaks, and tells it who asks (KIP-511).
pub(crate) fn request() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "mainstem-client".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What one broker answered to ApiVersions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    ranges: BTreeMap<i16, (i16, i16)>,
}

impl Versions {
    pub(crate) fn from_response(response: &ApiVersionsResponse) -> Self {
        let range = |api: &mainstem_protocol::messages::api_versions::ApiVersion| {
            (api.api_key, (api.min_version, api.max_version))
        };
        Self { ranges: response.api_keys.iter().map(range).collect() }
    }

    /// The highest version that both sides speak and that is at most `cap`.
    pub(crate) fn choose<R: Request>(&self, cap: i16) -> Option<i16> {
        let (min, max) = *self.ranges.get(&(R::API_KEY as i16))?;
        let version = max.min(R::MAX_VERSION).min(cap);
        (min.max(R::MIN_VERSION) <= version).then_some(version)
    }
}

/// Cluster-wide features, as of the newest epoch that any broker told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    epoch: i64,
    transaction_version: i16,
}

impl Features {
    pub(crate) fn learn(&mut self, response: &ApiVersionsResponse) {
        if response.finalized_features_epoch < self.epoch {
            return;
        }
        self.epoch = response.finalized_features_epoch;
        self.transaction_version = response
            .finalized_features
            .iter()
            .find(|feature| feature.name == "transaction.version")
            .map_or(0, |feature| feature.max_version_level);
    }

    pub(crate) fn transaction_version(self) -> i16 {
        self.transaction_version
    }
}
