//! FindCoordinator: key 10, versions 0-6.
//!
//! Behaviour: this broker coordinates every group and transactional id. The first question of
//! each kind makes the internal topic behind it and is answered when that is durable, so that a
//! client which was answered finds its coordinator ready. When the partition behind a key is
//! offline, nobody coordinates it: COORDINATOR_NOT_AVAILABLE.
//!
//! Version notes:
//! - v1: key type, for transactional ids. v3: flexible. v4: several keys (KIP-699).
//! - v5: TRANSACTION_ABORTABLE. v6: share groups, which are not here: INVALID_REQUEST.

use super::{Api, Place};
use crate::ask::{PartitionKey, Ticket};
use crate::cluster::{GROUP_TOPIC, TRANSACTION_TOPIC};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_coordinator::partition_for;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::messages::CreateTopicsResponse;
use mainstem_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::FindCoordinator, 0, 6, Place::FirstShard, handle);

/// From here on a request names several keys.
const VERSION_SEVERAL: i16 = 4;

/// The request while the topic behind its coordinator becomes durable.
#[derive(Debug)]
pub(crate) struct CoordinatorsWait {
    ticket: Ticket,
    version: i16,
    body: FindCoordinatorRequest,
    topic: &'static str,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: FindCoordinatorRequest = request.decode()?;
    let topic = match body.key_type {
        0 => GROUP_TOPIC,
        1 => TRANSACTION_TOPIC,
        _ => {
            let wait = CoordinatorsWait {
                ticket: request.ticket,
                version: request.version,
                body,
                topic: "",
            };
            wait.respond(node, ErrorCode::INVALID_REQUEST);
            return Ok(());
        }
    };
    let wait = CoordinatorsWait { ticket: request.ticket, version: request.version, body, topic };
    if node.view().image.topic(topic).is_some() {
        wait.respond(node, ErrorCode::NONE);
        return Ok(());
    }
    let command = Command::CreateTopics(node.internal_topic(topic));
    node.decide(now, &command, ControllerThen::Coordinators(wait));
    Ok(())
}

impl CoordinatorsWait {
    /// The topic was made, by this request or by another one.
    pub(crate) fn answer(self, node: &mut ShardNode, response: &CreateTopicsResponse) {
        if node.view().image.topic(self.topic).is_some() {
            self.respond(node, ErrorCode::NONE);
            return;
        }
        let error = response.topics.first().map(|topic| topic.error_code);
        tracing::error!(topic = self.topic, ?error, "make an internal topic");
        self.respond(node, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }

    /// Whether the partition that holds the key's state can be used.
    fn check(&self, node: &ShardNode, key: &str) -> ErrorCode {
        let view = node.view();
        let Some(topic) = view.image.topic(self.topic) else { return ErrorCode::NONE };
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX).max(1);
        let key = PartitionKey { topic: topic.id, partition: partition_for(key, count) };
        match node.is_offline(&key) {
            true => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            false => ErrorCode::NONE,
        }
    }

    fn respond(self, node: &mut ShardNode, error: ErrorCode) {
        node.metrics.error(error);
        let coordinator = |key: &String| {
            let error_code = if error == ErrorCode::NONE { self.check(node, key) } else { error };
            let found = error_code == ErrorCode::NONE;
            Coordinator {
                key: key.clone(),
                node_id: if found { node.config.node_id.0 } else { -1 },
                host: if found { node.config.advertised_host.clone() } else { String::new() },
                port: if found { i32::from(node.config.advertised_port) } else { -1 },
                error_code,
                ..Default::default()
            }
        };
        let response = if self.version < VERSION_SEVERAL {
            let Coordinator { node_id, host, port, error_code, .. } = coordinator(&self.body.key);
            FindCoordinatorResponse { error_code, node_id, host, port, ..Default::default() }
        } else {
            FindCoordinatorResponse {
                coordinators: self.body.coordinator_keys.iter().map(coordinator).collect(),
                ..Default::default()
            }
        };
        node.respond(self.ticket, &response);
    }
}
