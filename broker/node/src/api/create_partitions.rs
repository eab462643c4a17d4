//! CreatePartitions: key 37, versions 0-3.
//!
//! Behaviour: the controller decides per topic; answered when the partitions are durable and the
//! shards have been told. The broker's own topics keep their number of partitions. `timeout_ms` is
//! not used: there is nobody to wait for but the disk.
//!
//! Version notes:
//! - v2: flexible. v3: THROTTLING_QUOTA_EXCEEDED is allowed (KIP-599); this broker has no quotas.

use super::{Api, Place};
use crate::ask::Ticket;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;
use mainstem_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(crate) const API: Api = Api::new(ApiKey::CreatePartitions, 0, 3, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: CreatePartitionsRequest = request.decode()?;
    let then = ControllerThen::PartitionsCreated(request.ticket);
    node.decide(now, &Command::CreatePartitions(body), then);
    Ok(())
}

pub(crate) fn answer(node: &mut ShardNode, ticket: Ticket, response: &CreatePartitionsResponse) {
    for topic in &response.results {
        node.metrics.error(topic.error_code);
    }
    node.respond(ticket, response);
}
