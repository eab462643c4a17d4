//! Requests, records and answers of consumer groups in scripts, and the topics that they speak of.
//!
//! | command | meaning |
//! |---|---|
//! | `topics t=4 u=0 orders=2` | from now on there are so many partitions; 0: no such topic |
//! | `beat A join topics=t,u` | ConsumerGroupHeartbeat v1 with epoch 0, as member `a` |
//! | `beat A join v=0 member=` | the coordinator chooses the id |
//! | `beat A epoch=2 owned=t:0,1;u:2` | with the owned partitions; `owned=-` owns nothing |
//! | `beat A epoch=-1` | leaves; `-2`: for a while |
//! | `describe-consumer X g` | ConsumerGroupDescribe |
//! | `join A subscribe=t,u owns=t:0` | a classic member with a real subscription (`join`) |
//! | `sync A share=$A/t:0,1\|$B/t:2` | a classic leader's real assignment (`sync`) |
//!
//! More words of `beat`: `regex= instance= rack= rebalance= assignor=`, and `full` for all that a
//! full request has. Partitions are written `topic:number,number;topic:number`. The id of a topic is
//! its first letter, which also stands for it in records and answers.

use super::Command;
use bytes::Bytes;
use mainstem_coordinator::group::{GroupRequest, TopicDirectory};
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
    consumer_protocol_subscription, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription,
};
use mainstem_protocol::ids::TopicId;
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::records::*;
use mainstem_protocol::messages::*;
use mainstem_protocol::{Data, Reader};
use std::collections::BTreeMap;

/// The topics of a script. At first `t`, `u` and `v`, with three partitions each.
pub(crate) struct Catalog {
    counts: BTreeMap<String, i32>,
    version: i64,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        let counts = ["t", "u", "v"].map(|name| (name.to_owned(), 3));
        Self { counts: BTreeMap::from(counts), version: 1 }
    }

    pub(crate) fn change(&mut self, command: &Command) {
        for (name, count) in &command.pairs {
            self.counts.insert(name.clone(), count.parse().expect("a number of partitions"));
        }
        self.counts.retain(|_, count| 0 < *count);
        self.version += 1;
    }
}

fn id_of(name: &str) -> TopicId {
    TopicId([name.as_bytes()[0]; 16])
}

fn letter(id: TopicId) -> char {
    char::from(id.0[0])
}

impl TopicDirectory for Catalog {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.counts.contains_key(name).then(|| id_of(name))
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        self.counts.keys().find(|name| id_of(name) == id).map(String::as_str)
    }

    fn partition_count(&self, id: TopicId) -> Option<i32> {
        self.topic_name(id).map(|name| self.counts[name])
    }

    fn for_each_topic(&self, visit: &mut dyn FnMut(&str)) {
        self.counts.keys().for_each(|name| visit(name));
    }

    fn version(&self) -> i64 {
        self.version
    }
}

/// Reads `t:0,1;u:2`; `-` is nothing.
fn partitions(text: &str) -> Vec<(String, Vec<i32>)> {
    let topic = |part: &str| {
        let (name, numbers) = part.split_once(':').expect("topic:numbers");
        let numbers = numbers.split(',').map(|number| number.parse().expect("a partition"));
        (name.to_owned(), numbers.collect())
    };
    text.split(';').filter(|part| !matches!(*part, "" | "-")).map(topic).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

pub(crate) fn beat(command: &Command, member_id: String) -> GroupRequest {
    let joins = command.has("join");
    let is_full = joins || command.has("full");
    let owned = command.text("owned").or(joins.then_some("-"));
    let owned = owned.map(|text| {
        let topic = |(name, partitions): (String, Vec<i32>)| OwnedTopicPartitions {
            topic_id: id_of(&name),
            partitions,
        };
        partitions(text).into_iter().map(topic).collect()
    });
    GroupRequest::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest {
        group_id: command.text("group").unwrap_or("g").to_owned(),
        member_id,
        member_epoch: command.number("epoch", 0),
        instance_id: command.text("instance").map(str::to_owned),
        rack_id: command.text("rack").map(str::to_owned),
        rebalance_timeout_ms: command.number("rebalance", if is_full { 60_000 } else { -1 }),
        subscribed_topic_names: command.text("topics").map(words),
        subscribed_topic_regex: command.text("regex").map(str::to_owned),
        server_assignor: command.text("assignor").map(str::to_owned),
        topic_partitions: owned,
    })
}

pub(crate) fn describe(command: &Command) -> GroupRequest {
    GroupRequest::ConsumerGroupDescribe(ConsumerGroupDescribeRequest {
        group_ids: command.words[1..].to_vec(),
        include_authorized_operations: false,
    })
}

/// The metadata of a classic member that wants real topics.
pub(crate) fn subscription(command: &Command) -> Option<Bytes> {
    let topic = |(topic, partitions): (String, Vec<i32>)| {
        consumer_protocol_subscription::TopicPartition { topic, partitions }
    };
    let owned = partitions(command.text("owns").unwrap_or("-"));
    let subscription = ConsumerProtocolSubscription {
        topics: words(command.text("subscribe")?),
        user_data: None,
        owned_partitions: owned.into_iter().map(topic).collect(),
        ..Default::default()
    };
    Some(encode_subscription(&subscription, 1).expect("it is short"))
}

/// The assignment of a classic leader: `member/t:0,1|member/t:2`.
pub(crate) fn shares(text: &str) -> Vec<(String, Bytes)> {
    let topic = |(topic, partitions): (String, Vec<i32>)| {
        consumer_protocol_assignment::TopicPartition { topic, partitions }
    };
    let share = |part: &str| {
        let (member, text) = part.split_once('/').expect("member/partitions");
        let assigned_partitions = partitions(text).into_iter().map(topic).collect();
        let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        (member.to_owned(), encode_assignment(&assignment, 1).expect("it is short"))
    };
    text.split('|').map(share).collect()
}

/// An assignment of the consumers' protocol as people read it; other bytes as text.
pub(crate) fn blob(bytes: &Bytes) -> String {
    if bytes.first() != Some(&0) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if let Ok(assignment) = decode_assignment(bytes)
        && assignment.assigned_partitions.iter().all(|topic| !topic.topic.is_empty())
        && encode_assignment(&assignment, 1).is_ok_and(|again| again == *bytes)
    {
        let topics = assignment.assigned_partitions.into_iter();
        let parts: Vec<_> =
            topics.map(|topic| format!("{}:{}", topic.topic, numbers(&topic.partitions))).collect();
        return format!("<{}>", parts.join(";"));
    }
    let subscription = decode_subscription(bytes).expect("a blob of the consumers' protocol");
    format!("<{}>", subscription.topics.join(","))
}

fn numbers(partitions: &[i32]) -> String {
    let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
    numbers.join(",")
}

fn drawn<'a>(topics: impl Iterator<Item = (TopicId, &'a Vec<i32>)>) -> String {
    let parts: Vec<String> =
        topics.map(|(id, partitions)| format!("{}:{}", letter(id), numbers(partitions))).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(";") }
}

pub(crate) fn beat_answer(r: &ConsumerGroupHeartbeatResponse) -> String {
    if r.error_code.is_error() {
        return format!("beat {}", r.error_code.name());
    }
    let assigned = r.assignment.as_ref().map(|assignment| {
        let topics = assignment.topic_partitions.iter();
        format!(" assigned={}", drawn(topics.map(|topic| (topic.topic_id, &topic.partitions))))
    });
    format!("beat epoch={}{}", r.member_epoch, assigned.unwrap_or_default())
}

pub(crate) fn described(group: &consumer_group_describe::DescribedGroup) -> String {
    if group.error_code.is_error() {
        let why = group.error_message.as_deref().unwrap_or_default();
        return format!("describe {} {} {why}", group.group_id, group.error_code.name());
    }
    let member = |m: &consumer_group_describe::Member| {
        let set = |of: &consumer_group_describe::Assignment| {
            drawn(of.topic_partitions.iter().map(|topic| (topic.topic_id, &topic.partitions)))
        };
        format!(
            "{} type={} epoch={} has={} shall={}",
            m.member_id,
            m.member_type,
            m.member_epoch,
            set(&m.assignment),
            set(&m.target_assignment)
        )
    };
    let members: Vec<String> = group.members.iter().map(member).collect();
    format!(
        "describe {} {} epoch={} assignment={} assignor={} [{}]",
        group.group_id,
        group.group_state,
        group.group_epoch,
        group.assignment_epoch,
        group.assignor_name,
        members.join(" | ")
    )
}

fn value<D: Data>(bytes: &Bytes) -> D {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().expect("a version");
    D::decode(&mut reader, version).expect("a value of its kind")
}

fn key<D: Data>(reader: &mut Reader, version: i16) -> D {
    D::decode(reader, version).expect("a key of its kind")
}

/// A record of a consumer group as people read it.
pub(crate) fn draw(kind: i16, reader: &mut Reader, bytes: Option<&Bytes>) -> String {
    match kind {
        3 => match bytes.map(value::<ConsumerGroupMetadataValue>) {
            Some(value) => format!("group epoch={}", value.epoch),
            None => "forget group epoch".to_owned(),
        },
        4 => "forget group topics".to_owned(),
        5 => {
            let id = key::<ConsumerGroupMemberMetadataKey>(reader, kind).member_id;
            match bytes.map(value::<ConsumerGroupMemberMetadataValue>) {
                None => format!("forget member {id}"),
                Some(value) => {
                    let regex = value.subscribed_topic_regex.filter(|regex| !regex.is_empty());
                    let regex = regex.map(|regex| format!(" regex={regex}")).unwrap_or_default();
                    let classic =
                        if value.classic_member_metadata.is_some() { " classic" } else { "" };
                    let topics = value.subscribed_topic_names.join(",");
                    format!("member {id} topics={topics}{regex}{classic}")
                }
            }
        }
        6 => match bytes.map(value::<ConsumerGroupTargetAssignmentMetadataValue>) {
            Some(value) => format!("target epoch={}", value.assignment_epoch),
            None => "forget target epoch".to_owned(),
        },
        7 => {
            let id = key::<ConsumerGroupTargetAssignmentMemberKey>(reader, kind).member_id;
            match bytes.map(value::<ConsumerGroupTargetAssignmentMemberValue>) {
                None => format!("forget target of {id}"),
                Some(value) => {
                    let topics = value.topic_partitions.iter();
                    let topics = topics.map(|topic| (topic.topic_id, &topic.partitions));
                    format!("target {id} = {}", drawn(topics))
                }
            }
        }
        8 => {
            let id = key::<ConsumerGroupCurrentMemberAssignmentKey>(reader, kind).member_id;
            let value = bytes.map(value::<ConsumerGroupCurrentMemberAssignmentValue>);
            value.map_or_else(|| format!("forget current of {id}"), |value| current(&id, &value))
        }
        _ => {
            let regex = key::<ConsumerGroupRegularExpressionKey>(reader, kind).regular_expression;
            match bytes.map(value::<ConsumerGroupRegularExpressionValue>) {
                Some(value) => format!("regex {regex} = {}", value.topics.join(",")),
                None => format!("forget regex {regex}"),
            }
        }
    }
}

fn current(id: &str, value: &ConsumerGroupCurrentMemberAssignmentValue) -> String {
    let set = |of: &[consumer_group_current_member_assignment_value::TopicPartitions]| {
        drawn(of.iter().map(|topic| (topic.topic_id, &topic.partitions)))
    };
    let state = ["Stable", "Unrevoked", "Unreleased"][usize::try_from(value.state).expect("known")];
    let revoking = match set(&value.partitions_pending_revocation).as_str() {
        "-" => String::new(),
        some => format!(" revoking={some}"),
    };
    format!(
        "current {id} epoch={} {state} {}{revoking}",
        value.member_epoch,
        set(&value.assigned_partitions)
    )
}
