//! ApiVersions: key 18, versions 0-4.
//!
//! Behaviour: lists the API table and the features of the cluster, supported and finalized. The
//! epoch of the finalized ones is the offset of the metadata that they were read from, so a client
//! that asks several brokers keeps the newest.
//!
//! Version notes:
//! - An unknown version is answered in version 0 with UNSUPPORTED_VERSION and the versions of this
//!   API, from which the client chooses again (KIP-511).
//! - v3: the client names its software (KIP-511) and features are shown (KIP-584).
//! - v4: features whose lowest level is 0 may be shown; older clients cannot read them.

use super::{Api, Place, TABLE};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_metadata::{FEATURES, Feature, Image};
use mainstem_platform::Now;
use mainstem_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::ApiVersions, 0, 4, Place::AnyShard, handle);

/// From here on clients can read of a feature that its lowest level is 0.
const VERSION_LEVEL_ZERO: i16 = 4;

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    if !API.versions.contains(&request.version) {
        node.answer_in_version(request.ticket, 0);
        let api_keys = vec![line(&API)];
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        let response = ApiVersionsResponse { error_code, api_keys, ..Default::default() };
        node.respond(request.ticket, &response);
        return Ok(());
    }
    let body: ApiVersionsRequest = request.decode()?;
    let named = is_software_name(&body.client_software_name)
        && is_software_name(&body.client_software_version);
    if 3 <= request.version && !named {
        let error_code = ErrorCode::INVALID_REQUEST;
        let response = ApiVersionsResponse { error_code, ..Default::default() };
        node.respond(request.ticket, &response);
        return Ok(());
    }
    let view = node.view();
    let response = ApiVersionsResponse {
        api_keys: TABLE.iter().map(line).collect(),
        supported_features: supported(request.version),
        finalized_features_epoch: view.offset.0,
        finalized_features: finalized(&view.image),
        ..Default::default()
    };
    node.respond(request.ticket, &response);
    Ok(())
}

fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let is_readable = |low: i16| 0 < low || VERSION_LEVEL_ZERO <= version;
    let readable = FEATURES.iter().filter(|feature| is_readable(*feature.supported.start()));
    let row = |feature: &Feature| SupportedFeatureKey {
        name: feature.name.to_owned(),
        min_version: *feature.supported.start(),
        max_version: *feature.supported.end(),
    };
    readable.map(row).collect()
}

/// What is at level 0 is off, and not shown.
fn finalized(image: &Image) -> Vec<FinalizedFeatureKey> {
    let levels = FEATURES.iter().map(|feature| (feature.name, feature.finalized_level(image)));
    let row = |(name, level): (&str, i16)| FinalizedFeatureKey {
        name: name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    };
    levels.filter(|(_, level)| 0 < *level).map(row).collect()
}

fn line(api: &Api) -> ApiVersion {
    ApiVersion {
        api_key: api.key as i16,
        min_version: api.advertised_min,
        max_version: *api.versions.end(),
    }
}

/// Letters and digits, with dots and hyphens between them.
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inner)
}
