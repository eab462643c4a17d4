//! DeleteTopics: key 20, versions 1-6.
//!
//! Behaviour: the controller decides per topic; answered when the deletion is durable. Folders are
//! renamed at once and removed at leisure. The broker's own topics are not deleted.
//!
//! Version notes:
//! - v4: flexible. v5: error message (KIP-599). v6: topics by id (KIP-516).

use super::{Api, Place};
use crate::ask::Ticket;
use crate::cluster;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, TopicId};

pub(crate) const API: Api = Api::new(ApiKey::DeleteTopics, 1, 6, Place::FirstShard, handle);

/// The request while the deletion becomes durable.
#[derive(Debug)]
pub(crate) struct DeleteWait {
    ticket: Ticket,
    refused: Vec<DeletableTopicResult>,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let mut body: DeleteTopicsRequest = request.decode()?;
    let view = node.view();
    let mut refused = Vec::new();
    body.topic_names.retain(|name| {
        let internal = cluster::is_internal(name);
        if internal {
            refused.push(refuse(name, TopicId::NONE));
        }
        !internal
    });
    let name_of = |topic: &DeleteTopicState| match &topic.name {
        Some(name) => Some(name.clone()),
        None => view.topic_by_id(topic.topic_id).map(|(name, _)| name.to_string()),
    };
    body.topics.retain(|topic| {
        let internal = name_of(topic).filter(|name| cluster::is_internal(name));
        if let Some(name) = &internal {
            refused.push(refuse(name, topic.topic_id));
        }
        internal.is_none()
    });
    let wait = DeleteWait { ticket: request.ticket, refused };
    node.decide(now, &Command::DeleteTopics(body), ControllerThen::Deleted(wait));
    Ok(())
}

fn refuse(name: &str, topic_id: TopicId) -> DeletableTopicResult {
    DeletableTopicResult {
        name: Some(name.to_owned()),
        topic_id,
        error_code: ErrorCode::TOPIC_DELETION_DISABLED,
        error_message: Some("the broker needs this topic".to_owned()),
    }
}

impl DeleteWait {
    pub(crate) fn answer(self, node: &mut ShardNode, mut response: DeleteTopicsResponse) {
        response.responses.extend(self.refused);
        for topic in &response.responses {
            node.metrics.error(topic.error_code);
        }
        node.respond(self.ticket, &response);
    }
}
