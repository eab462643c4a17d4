//! ListGroups: key 16, versions 0-5.
//!
//! Behaviour: all groups of this broker, filtered by state and type.
//!
//! Version notes:
//! - v3: flexible. v4: filter by state (KIP-518). v5: filter by type (KIP-848).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::ListGroups, 0, 5, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::ListGroups(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
