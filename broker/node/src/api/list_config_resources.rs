//! ListConfigResources: key 74, versions 0-1.
//!
//! Behaviour: names all topics, this broker, and the groups for which something was set. Client
//! metrics and broker loggers have no configurations here, so there are none of them. A type that
//! nobody knows is answered with UNSUPPORTED_VERSION.
//!
//! Version notes:
//! - v0: ListClientMetricsResources: client metrics only (KIP-714).
//! - v1: by type; no type stands for all (KIP-1142).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_metadata::config::{
    RESOURCE_BROKER, RESOURCE_BROKER_LOGGER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP,
    RESOURCE_TOPIC,
};
use mainstem_platform::Now;
use mainstem_protocol::messages::list_config_resources::ConfigResource;
use mainstem_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::ListConfigResources, 0, 1, Place::AnyShard, handle);

/// In the order of the answer.
const TYPES: [i8; 5] = [
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
];

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: ListConfigResourcesRequest = request.decode()?;
    let wanted = match (request.version, body.resource_types.is_empty()) {
        (0, _) => vec![RESOURCE_CLIENT_METRICS],
        (_, true) => TYPES.to_vec(),
        _ => body.resource_types,
    };
    let mut response = ListConfigResourcesResponse::default();
    if wanted.iter().any(|kind| !TYPES.contains(kind)) {
        response.error_code = ErrorCode::UNSUPPORTED_VERSION;
        node.metrics.error(response.error_code);
    } else {
        for kind in TYPES.into_iter().filter(|kind| wanted.contains(kind)) {
            let name = |resource_name| ConfigResource { resource_name, resource_type: kind };
            response.config_resources.extend(names(node, kind).into_iter().map(name));
        }
    }
    node.respond(request.ticket, &response);
    Ok(())
}

fn names(node: &ShardNode, kind: i8) -> Vec<String> {
    let image = node.view().image;
    match kind {
        RESOURCE_TOPIC => image.topics().map(|topic| topic.name.to_string()).collect(),
        RESOURCE_BROKER => vec![node.config.node_id.to_string()],
        RESOURCE_GROUP => image.configured_groups().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
