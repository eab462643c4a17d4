//! ConsumerGroupDescribe: key 69, versions 0-1.
//!
//! Behaviour: shows groups of the consumer protocol (KIP-848): epochs, members, what they have and
//! shall have. A classic group is GROUP_ID_NOT_FOUND; DescribeGroups shows those. While
//! `group.version` is 0 every group is refused.
//!
//! Version notes:
//! - v1: whether a member speaks the classic or the consumer protocol (KIP-1099).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_metadata::Feature;
use mainstem_platform::Now;
use mainstem_protocol::messages::consumer_group_describe::DescribedGroup;
use mainstem_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api =
    Api::new(ApiKey::ConsumerGroupDescribe, 0, 1, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: ConsumerGroupDescribeRequest = request.decode()?;
    if !Feature::has_consumer_protocol(&node.view().image) {
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        node.metrics.error(error_code);
        let refused =
            |group_id: String| DescribedGroup { group_id, error_code, ..Default::default() };
        let groups = body.group_ids.into_iter().map(refused).collect();
        let response = ConsumerGroupDescribeResponse { groups, ..Default::default() };
        node.respond(request.ticket, &response);
        return Ok(());
    }
    node.ask_groups(now, request, GroupRequest::ConsumerGroupDescribe(body));
    Ok(())
}
