//! Features of a cluster: which levels its brokers support, which one it has settled on (KIP-584).

use std::collections::BTreeMap;

use mainstem_protocol::messages::UpdateFeaturesRequest;
use mainstem_protocol::messages::update_features::FeatureUpdateKey;

use super::machine::Target;
use super::{Admin, refused};
use crate::core::versions;
use crate::error::Result;

/// The features of a cluster by name, such as `metadata.version` and `transaction.version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Lowest and highest level that the broker which was asked supports.
    pub supported: BTreeMap<String, (i16, i16)>,
    /// The level in force. Absent: 0, the feature is off.
    pub finalized: BTreeMap<String, i16>,
    /// Counts changes of the finalized levels; `None` where there are none.
    pub epoch: Option<i64>,
}

/// In which direction a level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureUpgrade {
    /// Up only.
    Upgrade,
    /// Down too, if nothing is lost by it.
    SafeDowngrade,
    /// Down, and what the lower level cannot express is lost.
    UnsafeDowngrade,
}

/// A change of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub name: String,
    /// 0 turns the feature off.
    pub level: i16,
    pub upgrade: FeatureUpgrade,
}

impl Admin {
    pub async fn describe_features(&self) -> Result<Features> {
        let response = self.ask(&Target::Any, i16::MAX, |_| versions::request()).await?;
        refused("describe features", response.error_code, None)?;
        let supported = response.supported_features.into_iter();
        let finalized = response.finalized_features.into_iter();
        let epoch = response.finalized_features_epoch;
        Ok(Features {
            supported: supported.map(|it| (it.name, (it.min_version, it.max_version))).collect(),
            finalized: finalized.map(|it| (it.name, it.max_version_level)).collect(),
            epoch: Some(epoch).filter(|epoch| 0 <= *epoch),
        })
    }

    /// Sets levels of features, all of them or none. With `validate_only` nothing is changed.
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<()> {
        let update = |update: &FeatureUpdate| FeatureUpdateKey {
            feature: update.name.clone(),
            max_version_level: update.level,
            upgrade_type: match update.upgrade {
                FeatureUpgrade::Upgrade => 1,
                FeatureUpgrade::SafeDowngrade => 2,
                FeatureUpgrade::UnsafeDowngrade => 3,
            },
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest {
            timeout_ms: self.timeout_ms(),
            feature_updates: updates.iter().map(update).collect(),
            validate_only,
        };
        let response = self.call(Target::Any, i16::MAX, move |_| request).await?;
        refused("update features", response.error_code, response.error_message)?;
        let failed = response.results.into_iter().find(|result| result.error_code.is_error());
        failed.map_or(Ok(()), |it| refused(&it.feature, it.error_code, it.error_message))
    }
}
