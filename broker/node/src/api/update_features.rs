//! UpdateFeatures: key 57, versions 0-2.
//!
//! Behaviour: raises or lowers finalized levels of features, all of a request or none; answered
//! when that is durable. What ApiVersions shows follows, so clients of new connections act on it.
//! `timeout_ms` is not used: there is nobody to wait for but the disk.
//!
//! Version notes:
//! - v0: a flag allows to lower (KIP-584). v1: kinds of downgrades, trial runs (KIP-778).
//! - v2: no results per feature (KIP-1022).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::UpdateFeatures, 0, 2, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let command = Command::UpdateFeatures(request.decode()?);
    node.decide(now, &command, ControllerThen::FeaturesUpdated(request.ticket));
    Ok(())
}
