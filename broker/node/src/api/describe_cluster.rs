//! DescribeCluster: key 60, versions 0-2.
//!
//! Behaviour: this broker, which is also the controller. Who asks for the endpoints of controllers
//! has come to the wrong listener: MISMATCHED_ENDPOINT_TYPE. Other types of endpoints are not
//! known: UNSUPPORTED_ENDPOINT_TYPE.
//!
//! Version notes:
//! - v1: endpoint type (KIP-919). v2: fenced brokers (KIP-1073); there are none.

use super::{Api, Place};
use crate::authorized;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::DescribeCluster, 0, 2, Place::AnyShard, handle);

/// Endpoints of brokers, and of controllers.
const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeClusterRequest = request.decode()?;
    let view = node.view();
    let mut response = DescribeClusterResponse {
        endpoint_type: body.endpoint_type,
        cluster_id: view.cluster_id.to_string(),
        ..Default::default()
    };
    if body.endpoint_type == ENDPOINT_BROKERS {
        response.controller_id = node.config.node_id.0;
        response.brokers = vec![DescribeClusterBroker {
            broker_id: node.config.node_id.0,
            host: node.config.advertised_host.clone(),
            port: i32::from(node.config.advertised_port),
            rack: node.config.rack.clone(),
            is_fenced: false,
        }];
        if body.include_cluster_authorized_operations {
            response.cluster_authorized_operations = authorized::CLUSTER;
        }
    } else {
        response.error_code = match body.endpoint_type {
            ENDPOINT_CONTROLLERS => ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            _ => ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
        };
        response.error_message = Some("only the endpoints of brokers are shown".to_owned());
    }
    node.metrics.error(response.error_code);
    node.respond(request.ticket, &response);
    Ok(())
}
