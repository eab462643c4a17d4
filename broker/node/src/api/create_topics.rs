//! CreateTopics: key 19, versions 2-7.
//!
//! Behaviour: the controller decides per topic; answered when the topics are durable and every
//! shard knows them. The broker's own topics cannot be made by clients. `timeout_ms` is not used:
//! there is nobody to wait for but the disk.
//!
//! Version notes:
//! - v4: -1 for the default count of partitions and replicas (KIP-464).
//! - v5: flexible; the answer has the topic's settings (KIP-525). v7: topic id (KIP-516).

use super::{Api, Place};
use crate::ask::Ticket;
use crate::cluster;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::messages::create_topics::{
    CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::CreateTopics, 2, 7, Place::FirstShard, handle);

/// The request while its topics become durable.
#[derive(Debug)]
pub(crate) struct TopicsWait {
    ticket: Ticket,
    /// Topics that never reached the controller.
    refused: Vec<CreatableTopicResult>,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let mut body: CreateTopicsRequest = request.decode()?;
    let (internal, topics) =
        body.topics.into_iter().partition(|topic| cluster::is_internal(&topic.name));
    body.topics = topics;
    let refused = Vec::from_iter(internal).into_iter().map(|topic| CreatableTopicResult {
        name: topic.name,
        error_code: ErrorCode::INVALID_TOPIC_EXCEPTION,
        error_message: Some("the broker makes this topic itself".to_owned()),
        ..Default::default()
    });
    let wait = TopicsWait { ticket: request.ticket, refused: refused.collect() };
    node.decide(now, &Command::CreateTopics(body), ControllerThen::Created(wait));
    Ok(())
}

impl TopicsWait {
    pub(crate) fn answer(self, node: &mut ShardNode, mut response: CreateTopicsResponse) {
        response.topics.extend(self.refused);
        for topic in &response.topics {
            node.metrics.error(topic.error_code);
        }
        node.respond(self.ticket, &response);
    }
}
