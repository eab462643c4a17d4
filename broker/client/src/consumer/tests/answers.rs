//! What the scripts' cluster answers, from the words of a `reply` command.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, encode_assignment,
    encode_subscription,
};
use mainstem_protocol::messages::consumer_group_heartbeat::{Assignment, TopicPartitions};
use mainstem_protocol::messages::fetch::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use mainstem_protocol::messages::join_group::JoinGroupResponseMember;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use mainstem_protocol::messages::records::{
    consumer_protocol_assignment, consumer_protocol_subscription,
};
use mainstem_protocol::messages::{
    ConsumerGroupHeartbeatResponse, FetchResponse, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchResponse,
};
use mainstem_protocol::record::{BatchBuilder, ControlRecord, marker_batch, set_base_offset};
use mainstem_protocol::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, RecordsRef, TopicId,
};

use super::at;
use crate::core::script::{Asked, TOPIC_ID, code, topic_id};
use crate::records::TopicPartition;

/// `<partition>=<offset>` words.
pub(super) fn pairs<'a>(words: &'a [&str]) -> impl Iterator<Item = (i32, i64)> + 'a {
    words.iter().map(|word| {
        let (partition, offset) = word.split_once('=').expect("partition=offset");
        (partition.parse().expect("a partition"), offset.parse().expect("an offset"))
    })
}

pub(super) fn joined(asked: &Asked, error_code: ErrorCode, words: &[&str]) -> JoinGroupResponse {
    let request = asked.read::<JoinGroupRequest>();
    let generation = word(words, "generation=");
    let leads = words.contains(&"leads");
    let member = JoinGroupResponseMember {
        member_id: "me".to_owned(),
        metadata: request.protocols[0].metadata.clone(),
        ..JoinGroupResponseMember::default()
    };
    let others = words.iter().filter_map(|word| word.strip_prefix("other="));
    let others = others.map(|text| {
        let (owned, generation) = text.split_once('@').expect("partitions@generation");
        let owned: Vec<_> = owned.split(',').filter(|text| !text.is_empty()).map(at).collect();
        other_member(&owned, generation.parse().expect("a generation"))
    });
    let members = std::iter::once(member).chain(others).filter(|_| leads);
    JoinGroupResponse {
        error_code,
        generation_id: generation.map_or(-1, |text| text.parse().expect("a generation")),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some(request.protocols[0].name.clone()),
        leader: if leads { "me" } else { "other" }.to_owned(),
        member_id: "me".to_owned(),
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

/// A member that owns these partitions of `t` since that generation.
fn other_member(owned: &[TopicPartition], generation_id: i32) -> JoinGroupResponseMember {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".to_owned()],
        owned_partitions: vec![consumer_protocol_subscription::TopicPartition {
            topic: "t".to_owned(),
            partitions: owned.iter().map(|partition| partition.partition).collect(),
        }],
        generation_id,
        ..ConsumerProtocolSubscription::default()
    };
    JoinGroupResponseMember {
        member_id: "other".to_owned(),
        metadata: encode_subscription(&subscription, 3).expect("a subscription"),
        ..JoinGroupResponseMember::default()
    }
}

pub(super) fn assignment(partitions: &[&str]) -> Bytes {
    let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
    for partition in partitions.iter().map(|text| at(text)) {
        topics.entry(partition.topic).or_default().push(partition.partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        let topic = topic.to_string();
        consumer_protocol_assignment::TopicPartition { topic, partitions }
    });
    let assigned_partitions = topics.collect();
    let blob = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    encode_assignment(&blob, 3).expect("an assignment")
}

pub(super) fn offsets_fetched(error_code: ErrorCode, words: &[&str]) -> OffsetFetchResponse {
    let mut topics: BTreeMap<Arc<str>, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
    for word in words {
        let (partition, offset) = word.split_once('=').expect("partition=offset");
        let partition = at(partition);
        topics.entry(partition.topic).or_default().push(OffsetFetchResponsePartitions {
            partition_index: partition.partition,
            committed_offset: offset.parse().expect("an offset"),
            metadata: Some(String::new()),
            ..OffsetFetchResponsePartitions::default()
        });
    }
    let topic = |(name, partitions): (Arc<str>, _)| OffsetFetchResponseTopics {
        name: name.to_string(),
        partitions,
        ..OffsetFetchResponseTopics::default()
    };
    let topics = topics.into_iter().map(topic).collect();
    let group = OffsetFetchResponseGroup { group_id: "g".to_owned(), topics, error_code };
    OffsetFetchResponse { groups: vec![group], ..OffsetFetchResponse::default() }
}

pub(super) fn offsets_committed(asked: &Asked, error_code: ErrorCode) -> OffsetCommitResponse {
    let request = asked.read::<OffsetCommitRequest>();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| OffsetCommitResponsePartition {
            partition_index: p.partition_index,
            error_code,
        });
        OffsetCommitResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
            ..OffsetCommitResponseTopic::default()
        }
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}

pub(super) fn fetched(error_code: ErrorCode, words: &[&str]) -> FetchResponse {
    let session = words.iter().find_map(|word| word.strip_prefix("session="));
    let mut partitions: BTreeMap<i32, (PartitionData, BytesMut)> = BTreeMap::new();
    for word in words.iter().filter(|word| !word.starts_with("session=")) {
        let (partition, content) = word.split_once(':').expect("partition:content");
        let index: i32 = partition.parse().expect("a partition");
        let (data, bytes) = partitions.entry(index).or_default();
        data.partition_index = index;
        data.high_watermark = 1_000;
        data.last_stable_offset = 1_000;
        data.preferred_read_replica = -1;
        if let Some(name) = content.strip_prefix("code=") {
            data.error_code = code(name);
        } else if let Some(aborted) = content.strip_prefix("aborted@") {
            let (producer, first) = aborted.split_once('=').expect("producer=offset");
            data.aborted_transactions.get_or_insert_default().push(AbortedTransaction {
                producer_id: producer.parse().expect("a producer"),
                first_offset: first.parse().expect("an offset"),
            });
        } else {
            bytes.extend_from_slice(&batch(content));
        }
    }
    let partitions = partitions.into_values().map(|(mut data, bytes)| {
        data.records = Some(RecordsRef::Bytes(bytes.freeze()));
        data
    });
    let topic = FetchableTopicResponse {
        topic: "t".to_owned(),
        topic_id: TOPIC_ID,
        partitions: partitions.collect(),
    };
    let responses = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
    let session_id = session.map_or(0, |text| text.parse().expect("a session"));
    FetchResponse { error_code, session_id, responses, ..FetchResponse::default() }
}

/// `<offset>+<count>[@<producer>]` or `<offset>commit@<producer>` or `<offset>abort@<producer>`.
fn batch(text: &str) -> Vec<u8> {
    let (what, producer) = match text.split_once('@') {
        Some((what, producer)) => (what, Some(producer.parse().expect("a producer"))),
        None => (text, None),
    };
    let id = ProducerId(producer.unwrap_or(-1));
    let marker = |marker| marker_batch(1, id, ProducerEpoch(0), LeaderEpoch(5), marker);
    let (offset, bytes) = if let Some(offset) = what.strip_suffix("commit") {
        (offset, marker(ControlRecord::Commit { coordinator_epoch: 0 }).expect("a marker"))
    } else if let Some(offset) = what.strip_suffix("abort") {
        (offset, marker(ControlRecord::Abort { coordinator_epoch: 0 }).expect("a marker"))
    } else {
        let (offset, count) = what.split_once('+').expect("offset+count");
        let mut builder = BatchBuilder::new().producer(id, ProducerEpoch(0), -1);
        if producer.is_some() {
            builder = builder.transactional();
        }
        for _ in 0..count.parse().expect("a count") {
            builder.push(1, None, Some(b"value"), &[]);
        }
        (offset, builder.finish().expect("a batch"))
    };
    let mut bytes = bytes.to_vec();
    set_base_offset(&mut bytes, Offset(offset.parse().expect("an offset")));
    bytes
}

/// `epoch=<n>`, `interval=<ms>`, and `has <partition>...` where the answer has an assignment.
pub(super) fn beaten(error_code: ErrorCode, words: &[&str]) -> ConsumerGroupHeartbeatResponse {
    let number = |name| word(words, name).map(|text| text.parse().expect("a number"));
    let has = words.iter().position(|word| *word == "has").map(|at| &words[at + 1..]);
    let assignment = has.map(|partitions| {
        let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for partition in partitions.iter().map(|text| at(text)) {
            topics.entry(topic_id(&partition.topic)).or_default().push(partition.partition);
        }
        let topics = topics.into_iter();
        let part = |(topic_id, partitions)| TopicPartitions { topic_id, partitions };
        Assignment { topic_partitions: topics.map(part).collect() }
    });
    ConsumerGroupHeartbeatResponse {
        error_code,
        member_id: word(words, "member=").map(str::to_owned),
        member_epoch: number("epoch=").unwrap_or(0),
        heartbeat_interval_ms: number("interval=").unwrap_or(5_000),
        assignment,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// What follows a prefix in one of the words.
fn word<'a>(words: &[&'a str], prefix: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(prefix))
}
