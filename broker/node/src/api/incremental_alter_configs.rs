//! IncrementalAlterConfigs: key 44, versions 0-1.
//!
//! Behaviour: changes single configurations of topics, brokers and groups (set, delete, append to a
//! list, subtract from a list); what is not named stays. The controller decides per resource;
//! answered when the change is durable and the shards have been told.
//!
//! Version notes:
//! - v1: flexible.

use super::{Api, Place};
use crate::ask::Ticket;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;
use mainstem_protocol::messages::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

pub(crate) const API: Api =
    Api::new(ApiKey::IncrementalAlterConfigs, 0, 1, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: IncrementalAlterConfigsRequest = request.decode()?;
    let then = ControllerThen::ConfigsChanged(request.ticket);
    node.decide(now, &Command::IncrementalAlterConfigs(body), then);
    Ok(())
}

pub(crate) fn answer(
    node: &mut ShardNode,
    ticket: Ticket,
    response: &IncrementalAlterConfigsResponse,
) {
    for resource in &response.responses {
        node.metrics.error(resource.error_code);
    }
    node.respond(ticket, response);
}
