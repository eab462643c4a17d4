//! OffsetFetch: key 9, versions 1-10.
//!
//! Behaviour: committed offsets of groups. Who asks for stable ones is told
//! UNSTABLE_OFFSET_COMMIT while a transaction has an offset pending.
//!
//! Version notes:
//! - v2: all topics of a group. v5: leader epoch. v6: flexible. v7: stable offsets (KIP-447).
//! - v8: several groups (KIP-709). v9: member epochs of KIP-848. v10: topics by id (KIP-516).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::OffsetFetch, 1, 10, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::OffsetFetch(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
