//! LeaveGroup: key 13, versions 0-5.
//!
//! Behaviour: removes members; the others rebalance.
//!
//! Version notes:
//! - v3: several members at once, static ones too (KIP-345). v4: flexible. v5: reason (KIP-800).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::LeaveGroup, 0, 5, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::LeaveGroup(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
