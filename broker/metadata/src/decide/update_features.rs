//! Raising and lowering the levels of features: all updates of a request, or none.
//!
//! To lower a level must be meant, so the request says which way it goes. No level of ours loses
//! anything when it is lowered; a safe downgrade is the same as an unsafe one. Groups of the consumer
//! protocol do not stand in the way of `group.version=0`, nor do they in Kafka.

use super::Refusal;
use crate::feature::Feature;
use crate::{Decision, Image, MetadataRecord, Reply};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::records::FeatureLevelRecord;
use mainstem_protocol::messages::update_features::{FeatureUpdateKey, UpdatableFeatureResult};
use mainstem_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// Which way a level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

pub(super) fn decide(image: &Image, request: &UpdateFeaturesRequest) -> Decision {
    let mut records = Vec::new();
    let mut refusal = None;
    for (position, update) in request.feature_updates.iter().enumerate() {
        let earlier = &request.feature_updates[..position];
        let twice = earlier.iter().any(|other| other.feature == update.feature);
        let judged = if twice {
            let why = format!("Feature {} is updated twice.", update.feature);
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, why))
        } else {
            judge(image, update)
        };
        match judged {
            Ok(record) => records.extend(record.map(MetadataRecord::FeatureLevel)),
            Err(why) => {
                refusal = Some(why);
                break;
            }
        }
    }
    if refusal.is_some() || request.validate_only {
        records.clear();
    }
    Decision { records, reply: Reply::UpdateFeatures(answer(request, refusal)) }
}

/// The record that sets the level; none when it is set already.
fn judge(image: &Image, update: &FeatureUpdateKey) -> Result<Option<FeatureLevelRecord>, Refusal> {
    let name = &update.feature;
    let refuse = |why: String| Err(Refusal::new(ErrorCode::INVALID_UPDATE_VERSION, why));
    let wish = update.max_version_level;
    let direction = match (update.allow_downgrade, update.upgrade_type) {
        (false, 1) => Direction::Up,
        (true, _) | (false, 2 | 3) => Direction::Down,
        (false, other) => return refuse(format!("There is no upgrade type {other}.")),
    };
    let Some(feature) = Feature::find(name) else {
        return refuse(format!("Feature {name} is not supported."));
    };
    let (low, high) = feature.supported.clone().into_inner();
    if !feature.supported.contains(&wish) {
        return refuse(format!("Feature {name} supports levels {low} to {high}, not {wish}."));
    }
    let level = feature.finalized_level(image);
    match (wish.cmp(&level), direction) {
        (std::cmp::Ordering::Less, Direction::Up) => refuse(format!(
            "Feature {name} is at level {level}; lowering it to {wish} needs a downgrade type."
        )),
        (std::cmp::Ordering::Greater, Direction::Down) => {
            refuse(format!("Feature {name} is at level {level}; {wish} would not be a downgrade."))
        }
        (std::cmp::Ordering::Equal, _) => Ok(None),
        _ => Ok(Some(FeatureLevelRecord { name: name.clone(), feature_level: wish })),
    }
}

/// All features have the same fate.
fn answer(request: &UpdateFeaturesRequest, refusal: Option<Refusal>) -> UpdateFeaturesResponse {
    let (error_code, error_message) = match refusal {
        Some(refusal) => (refusal.code, Some(refusal.message)),
        None => (ErrorCode::NONE, None),
    };
    let result = |update: &FeatureUpdateKey| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code,
        error_message: error_message.clone(),
    };
    UpdateFeaturesResponse {
        results: request.feature_updates.iter().map(result).collect(),
        error_code,
        error_message: error_message.clone(),
        ..UpdateFeaturesResponse::default()
    }
}
