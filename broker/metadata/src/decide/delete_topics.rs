//! Removing topics, by name or by id.
//!
//! The internal topics can be removed too, as in Kafka: whoever is allowed to delete may shoot his
//! own foot. The metadata log is not a topic.

use super::Refusal;
use crate::{ControllerSettings, Decision, Image, MetadataRecord, Reply, TopicImage};
use mainstem_protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use mainstem_protocol::messages::records::RemoveTopicRecord;
use mainstem_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use mainstem_protocol::{ErrorCode, TopicId};
use std::collections::BTreeSet;

pub(super) fn decide(
    image: &Image,
    settings: &ControllerSettings,
    request: &DeleteTopicsRequest,
) -> Decision {
    let by_name = request
        .topic_names
        .iter()
        .map(|name| DeleteTopicState { name: Some(name.clone()), ..DeleteTopicState::default() });
    let wanted: Vec<DeleteTopicState> = request.topics.iter().cloned().chain(by_name).collect();
    let mut response = DeleteTopicsResponse::default();
    let mut records = Vec::new();
    let mut removed: BTreeSet<TopicId> = BTreeSet::new();
    for (position, wish) in wanted.iter().enumerate() {
        let found = if settings.topics_per_request_max <= position {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Too many topics in one request."))
        } else {
            find(image, wish, &removed)
        };
        response.responses.push(match found {
            Ok(topic) => {
                removed.insert(topic.id);
                let record = RemoveTopicRecord { topic_id: topic.id };
                records.push(MetadataRecord::RemoveTopic(record));
                DeletableTopicResult {
                    name: Some(topic.name.to_string()),
                    topic_id: topic.id,
                    ..DeletableTopicResult::default()
                }
            }
            Err(refusal) => DeletableTopicResult {
                name: wish.name.clone(),
                topic_id: wish.topic_id,
                error_code: refusal.code,
                error_message: Some(refusal.message),
            },
        });
    }
    Decision { records, reply: Reply::DeleteTopics(response) }
}

fn find<'a>(
    image: &'a Image,
    wish: &DeleteTopicState,
    removed: &BTreeSet<TopicId>,
) -> Result<&'a TopicImage, Refusal> {
    let topic = match (&wish.name, wish.topic_id.is_some()) {
        (Some(_), true) => {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "You may not specify both topic name and topic id.",
            ));
        }
        (None, false) => {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "Neither topic name nor id were specified.",
            ));
        }
        (Some(name), false) => image.topic(name).ok_or_else(|| {
            Refusal::new(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                "This server does not host this topic-partition.",
            )
        })?,
        (None, true) => image.topic_by_id(wish.topic_id).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        })?,
    };
    if removed.contains(&topic.id) {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name or id."));
    }
    Ok(topic)
}
