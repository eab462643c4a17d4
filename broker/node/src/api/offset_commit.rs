//! OffsetCommit: key 8, versions 2-10.
//!
//! Behaviour: stores offsets of a group; answered when they are durable. Members are fenced by
//! their generation.
//!
//! Version notes:
//! - v5: retention time is gone (KIP-211). v6: leader epoch (KIP-320).
//! - v7: static members (KIP-345).
//! - v8: flexible. v9: member epochs of KIP-848. v10: topics by id (KIP-516).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::OffsetCommit, 2, 10, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::OffsetCommit(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
