//! DescribeGroups: key 15, versions 0-6.
//!
//! Behaviour: state, protocol and members of groups.
//!
//! Version notes:
//! - v3: authorized operations (KIP-430). v4: static members (KIP-345). v5: flexible.
//! - v6: an unknown group is GROUP_ID_NOT_FOUND with a message (KIP-1043).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::DescribeGroups, 0, 6, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::DescribeGroups(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
