//! ConsumerGroupHeartbeat: key 68, versions 0-1.
//!
//! Behaviour: joins (member epoch 0), keeps and leaves (-1, or -2 for a while) a group of the
//! consumer protocol (KIP-848); the answer has the member's partitions when they have changed. It
//! is answered when what was decided is durable. While `group.version` is 0 it is refused.
//!
//! Version notes:
//! - v1: subscriptions by regular expression; members choose their ids (KIP-1082).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_metadata::Feature;
use mainstem_platform::Now;
use mainstem_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api =
    Api::new(ApiKey::ConsumerGroupHeartbeat, 0, 1, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: ConsumerGroupHeartbeatRequest = request.decode()?;
    if !Feature::has_consumer_protocol(&node.view().image) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        node.metrics.error(error_code);
        let response = ConsumerGroupHeartbeatResponse { error_code, ..Default::default() };
        node.respond(request.ticket, &response);
        return Ok(());
    }
    node.ask_groups(now, request, GroupRequest::ConsumerGroupHeartbeat(body));
    Ok(())
}
