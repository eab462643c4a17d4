//! What scripts show of the consumer's requests, and of what a poll returns.

use bytes::Bytes;
use mainstem_protocol::consumer_protocol::{decode_assignment, decode_subscription};
use mainstem_protocol::messages::{
    ConsumerGroupHeartbeatRequest, FetchRequest, HeartbeatRequest, JoinGroupRequest,
    ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use mainstem_protocol::{ApiKey, TopicId};

use crate::core::script::{Asked, TOPIC_ID};
use crate::records::{Polled, Rebalance, TopicPartition};

pub(super) fn show_polled(polled: Polled) -> Vec<String> {
    let names = |partitions: &[TopicPartition]| {
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let rebalance = polled.rebalance.map(|rebalance| match rebalance {
        Rebalance::Revoked(partitions) => format!("revoked {}", names(&partitions)),
        Rebalance::Lost(partitions) => format!("lost {}", names(&partitions)),
        Rebalance::Assigned { partitions, .. } => format!("assigned {}", names(&partitions)),
    });
    let batches = polled.batches.into_iter().map(|batch| {
        let offsets: Vec<String> = batch.records.iter().map(|r| r.offset.to_string()).collect();
        format!("{}: {}", batch.topic_partition, offsets.join(" "))
    });
    rebalance.into_iter().chain(batches).collect()
}

/// A request as a line of the trace.
pub(super) fn show(asked: &Asked) -> String {
    let name = format!("{:?} v{}", asked.api, asked.version);
    match asked.api {
        ApiKey::Fetch => {
            let request = asked.read::<FetchRequest>();
            let (id, epoch) = (request.session_id, request.session_epoch);
            let mut line = format!("{name} session={id}/{epoch} wait={}", request.max_wait_ms);
            for topic in &request.topics {
                for p in &topic.partitions {
                    let name = short(&name_of(topic.topic_id), p.partition);
                    line.push_str(&format!(" {name}@{}", p.fetch_offset));
                }
            }
            for topic in &request.forgotten_topics_data {
                line.push_str(&format!(" without {:?}", topic.partitions));
            }
            line
        }
        ApiKey::JoinGroup => {
            let request = asked.read::<JoinGroupRequest>();
            let cooperative = request.protocols.iter().find(|p| p.name == "cooperative-sticky");
            let told = cooperative.map(|p| show_subscription(&p.metadata));
            format!("{name} member={:?}{}", request.member_id, told.unwrap_or_default())
        }
        ApiKey::SyncGroup => {
            let request = asked.read::<SyncGroupRequest>();
            let (generation, count) = (request.generation_id, request.assignments.len());
            let mut line = format!("{name} generation={generation} assignments={count}");
            for to in request.assignments.iter().filter(|_| count > 1) {
                let told = decode_assignment(&to.assignment).expect("an assignment of ours");
                let partitions = told.assigned_partitions.iter().flat_map(|t| &t.partitions);
                let partitions: Vec<String> = partitions.map(ToString::to_string).collect();
                line.push_str(&format!(" {}={}", to.member_id, partitions.join(",")));
            }
            line
        }
        ApiKey::ConsumerGroupHeartbeat => format!("{name} {}", show_beat(&asked.read())),
        ApiKey::Heartbeat => {
            format!("{name} generation={}", asked.read::<HeartbeatRequest>().generation_id)
        }
        ApiKey::OffsetCommit => format!("{name} {}", show_commit(&asked.read())),
        ApiKey::OffsetFetch => {
            let request = asked.read::<OffsetFetchRequest>();
            let group = &request.groups[0];
            let mut line = format!("{name} stable={}", request.require_stable);
            if group.member_epoch >= 0 {
                line.push_str(&format!(" epoch={}", group.member_epoch));
            }
            for topic in group.topics.iter().flatten() {
                for p in &topic.partition_indexes {
                    line.push_str(&format!(" {}", short(&topic.name, *p)));
                }
            }
            line
        }
        ApiKey::ListOffsets => {
            let request = asked.read::<ListOffsetsRequest>();
            let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            let asked: Vec<String> =
                partitions.map(|p| format!("{}@{}", p.partition_index, p.timestamp)).collect();
            format!("{name} {}", asked.join(" "))
        }
        _ => name,
    }
}

fn show_commit(request: &OffsetCommitRequest) -> String {
    let mut line = format!("generation={}", request.generation_id_or_member_epoch);
    for topic in &request.topics {
        for p in &topic.partitions {
            let name = short(&topic.name, p.partition_index);
            line.push_str(&format!(" {name}={}", p.committed_offset));
        }
    }
    line
}

/// What a cooperative member tells the leader.
fn show_subscription(metadata: &Bytes) -> String {
    let told = decode_subscription(metadata).expect("a subscription of ours");
    let owned = told
        .owned_partitions
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|p| format!("{}-{p}", topic.topic)));
    let owned = owned.collect::<Vec<_>>().join(",");
    format!(" topics={} owned={owned}@{}", told.topics.join(","), told.generation_id)
}

/// The scripts' topics have one letter where they are read.
fn name_of(id: TopicId) -> String {
    let letter = if id == TOPIC_ID { 't' } else { char::from(id.0[0]) };
    letter.to_string()
}

/// A partition as scripts write it.
fn short(topic: &str, partition: i32) -> String {
    if topic == "t" { partition.to_string() } else { format!("{topic}-{partition}") }
}

/// What a heartbeat says; what it leaves out is as it was.
fn show_beat(request: &ConsumerGroupHeartbeatRequest) -> String {
    let id: String = request.member_id.chars().take(4).collect();
    let mut line = format!("member={id:?} epoch={}", request.member_epoch);
    let mut add = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            line.push_str(&format!(" {name}={text}"));
        }
    };
    add("instance", request.instance_id.clone());
    let timeout = request.rebalance_timeout_ms;
    add("timeout", (timeout >= 0).then(|| timeout.to_string()));
    add("assignor", request.server_assignor.clone());
    add("topics", request.subscribed_topic_names.as_ref().map(|names| names.join(",")));
    add("pattern", request.subscribed_topic_regex.as_ref().map(|text| format!("{text:?}")));
    let owned = request.topic_partitions.as_ref().map(|topics| {
        let owned = topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|p| format!("{}-{p}", name_of(topic.topic_id)))
        });
        format!("[{}]", owned.collect::<Vec<_>>().join(","))
    });
    add("owns", owned);
    line
}
