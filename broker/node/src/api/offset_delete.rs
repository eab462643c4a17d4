//! OffsetDelete: key 47, versions 0.
//!
//! Behaviour: forgets committed offsets of a group. Topics that a member still reads are
//! GROUP_SUBSCRIBED_TO_TOPIC, those that do not exist UNKNOWN_TOPIC_OR_PARTITION; a living group
//! that does not consume is NON_EMPTY_GROUP as a whole.
//!
//! Version notes:
//! - v0: the first (KIP-496).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::OffsetDelete, 0, 0, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::OffsetDelete(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
