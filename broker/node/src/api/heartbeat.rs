//! Heartbeat: key 12, versions 0-4.
//!
//! Behaviour: keeps a member alive and tells it when the group rebalances.
//!
//! Version notes:
//! - v3: static members (KIP-345). v4: flexible.

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::Heartbeat, 0, 4, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::Heartbeat(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
