//! AlterConfigs: key 33, versions 0-2.
//!
//! Behaviour: replaces the configurations of topics, brokers and groups; what is not named falls
//! back to its default. The controller decides per resource; answered when the change is durable
//! and the shards have been told.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Place};
use crate::ask::Ticket;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;
use mainstem_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

pub(crate) const API: Api = Api::new(ApiKey::AlterConfigs, 0, 2, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: AlterConfigsRequest = request.decode()?;
    let then = ControllerThen::ConfigsReplaced(request.ticket);
    node.decide(now, &Command::AlterConfigs(body), then);
    Ok(())
}

pub(crate) fn answer(node: &mut ShardNode, ticket: Ticket, response: &AlterConfigsResponse) {
    for resource in &response.responses {
        node.metrics.error(resource.error_code);
    }
    node.respond(ticket, response);
}
