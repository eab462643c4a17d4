//! ConsumerGroupDescribe: key 69, versions 0-1.
//!
//! Behaviour: shows groups of the consumer protocol (KIP-848): epochs, members, what they have and
//! shall have. A classic group is GROUP_ID_NOT_FOUND; DescribeGroups shows those.
//!
//! Version notes:
//! - v1: whether a member speaks the classic or the consumer protocol (KIP-1099).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api =
    Api::new(ApiKey::ConsumerGroupDescribe, 0, 1, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::ConsumerGroupDescribe(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
