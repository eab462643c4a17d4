//! ConsumerGroupHeartbeat: key 68, versions 0-1.
//!
//! Behaviour: joins (member epoch 0), keeps and leaves (-1, or -2 for a while) a group of the
//! consumer protocol (KIP-848); the answer has the member's partitions when they have changed. It
//! is answered when what was decided is durable.
//!
//! Version notes:
//! - v1: subscriptions by regular expression; members choose their ids (KIP-1082).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api =
    Api::new(ApiKey::ConsumerGroupHeartbeat, 0, 1, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::ConsumerGroupHeartbeat(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
