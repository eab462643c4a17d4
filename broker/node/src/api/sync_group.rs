//! SyncGroup: key 14, versions 0-5.
//!
//! Behaviour: followers wait for the leader's assignment, which is in the log before anybody
//! gets it.
//!
//! Version notes:
//! - v3: static members (KIP-345). v4: flexible. v5: protocol type and name (KIP-559).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::SyncGroup, 0, 5, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::SyncGroup(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
