//! DeleteGroups: key 42, versions 0-2.
//!
//! Behaviour: forgets empty groups and their offsets; a group with members is NON_EMPTY_GROUP.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::group::GroupRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::DeleteGroups, 0, 2, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = GroupRequest::DeleteGroups(request.decode()?);
    node.ask_groups(now, request, body);
    Ok(())
}
