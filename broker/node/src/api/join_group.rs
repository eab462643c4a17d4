//! JoinGroup: key 11, versions 0-9.
//!
//! Behaviour: the group coordinator answers when the generation is complete, so the request may
//! wait for the rebalance timeout of the group.
//!
//! Version notes:
//! - v1: rebalance timeout. v4: a member without an id is given one first (KIP-394).
//! - v5: static members (KIP-345). v6: flexible. v7: protocol type in the answer.
//! - v8: reason of the join (KIP-800). v9: the leader may be told to skip the assignment (KIP-814).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::JoinGroup, 0, 9, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::JoinGroup(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
