//! ApiVersions: key 18, versions 0-4.
//!
//! Behaviour: lists the API table, and the features that clients act upon. `transaction.version`
//! is finalized at 2, so clients use transactions with an epoch per transaction (KIP-890);
//! `group.version`
//! is finalized at 1, so they may use the consumer protocol of groups (KIP-848).
//!
//! Version notes:
//! - An unknown version is answered in version 0 with UNSUPPORTED_VERSION and the versions of this
//!   API, from which the client chooses again (KIP-511).
//! - v3: the client names its software (KIP-511) and features are shown (KIP-584).
//! - v4: features whose lowest level is 0 may be shown; older clients cannot read them.

use super::{Api, Place, TABLE};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::ApiVersions, 0, 4, Place::AnyShard, handle);

/// The levels that clients shall use: all that this broker has.
const FEATURES: [(&str, i16); 2] = [("transaction.version", 2), ("group.version", 1)];

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
    let supported = |(name, max_version): &(&str, i16)| SupportedFeatureKey {
        name: (*name).to_owned(),
        min_version: 0,
        max_version: *max_version,
    };
    let mut supported_features: Vec<_> = FEATURES.iter().map(supported).collect();
    if request.version < 4 {
        supported_features.clear();
    }
    let finalized = |(name, level): &(&str, i16)| FinalizedFeatureKey {
        name: (*name).to_owned(),
        max_version_level: *level,
        min_version_level: *level,
    };
    let response = ApiVersionsResponse {
        api_keys: TABLE.iter().map(line).collect(),
        supported_features,
        finalized_features_epoch: 0,
        finalized_features: FEATURES.iter().map(finalized).collect(),
        ..Default::default()
    };
    node.respond(request.ticket, &response);
    Ok(())
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
