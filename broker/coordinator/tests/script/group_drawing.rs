//! Records and answers of the group coordinator as people read them.

use super::consumer;
use super::group::Topics;
use bytes::Bytes;
use mainstem_coordinator::CoordinatorRecord;
use mainstem_coordinator::group::{GroupResponse, TopicDirectory};
use mainstem_protocol::messages::records::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use mainstem_protocol::messages::*;
use mainstem_protocol::{ErrorCode, Message, Reader};

/// A record as people read it.
pub(crate) fn draw(record: &CoordinatorRecord) -> String {
    let mut key = Reader::new(record.key.clone());
    let kind = key.i16().expect("a version");
    let value = |bytes: &Bytes| {
        let mut reader = Reader::new(bytes.clone());
        let version = reader.i16().expect("a version");
        (reader, version)
    };
    if kind == 2 {
        let key = GroupMetadataKey::decode(&mut key, kind).expect("a group key");
        let Some(bytes) = &record.value else { return format!("forget group {}", key.group) };
        let (mut reader, version) = value(bytes);
        let group = GroupMetadataValue::decode(&mut reader, version).expect("a group value");
        let member = |member: &records::group_metadata_value::MemberMetadata| {
            format!("{}={}", member.member_id, text(&member.assignment))
        };
        let members: Vec<String> = group.members.iter().map(member).collect();
        return format!(
            "group {} v{version} generation={} protocol={} leader={} [{}]",
            key.group,
            group.generation,
            group.protocol.unwrap_or("-".to_owned()),
            group.leader.unwrap_or("-".to_owned()),
            members.join(" ")
        );
    }
    if matches!(kind, 3..=8 | 16) {
        return consumer::draw(kind, &mut key, record.value.as_ref());
    }
    let key = OffsetCommitKey::decode(&mut key, kind).expect("an offset key");
    let place = format!("{} {}-{}", key.group, key.topic, key.partition);
    let Some(bytes) = &record.value else { return format!("forget offset {place}") };
    let (mut reader, version) = value(bytes);
    let value = OffsetCommitValue::decode(&mut reader, version).expect("an offset value");
    format!("offset {place} v{version} = {}", value.offset)
}

fn text(bytes: &Bytes) -> String {
    consumer::blob(bytes)
}

/// An answer as people read it.
pub(crate) fn answer(response: &GroupResponse) -> String {
    match response {
        GroupResponse::JoinGroup(r) => joined(r),
        GroupResponse::SyncGroup(r) if r.error_code.is_error() => {
            format!("sync {}", r.error_code.name())
        }
        GroupResponse::SyncGroup(r) => format!("sync assignment={}", text(&r.assignment)),
        GroupResponse::Heartbeat(r) => format!("heartbeat {}", r.error_code.name()),
        GroupResponse::LeaveGroup(r) => {
            let member = |m: &leave_group::MemberResponse| {
                let who = m.group_instance_id.as_deref().unwrap_or(&m.member_id);
                format!(" {who}:{}", m.error_code.name())
            };
            let members: String = r.members.iter().map(member).collect();
            format!("leave {}{members}", r.error_code.name())
        }
        GroupResponse::ConsumerGroupHeartbeat(r) => consumer::beat_answer(r),
        GroupResponse::ConsumerGroupDescribe(r) => {
            let groups: Vec<String> = r.groups.iter().map(consumer::described).collect();
            groups.join(" || ")
        }
        GroupResponse::DescribeGroups(r) => {
            let groups: Vec<String> = r.groups.iter().map(described).collect();
            groups.join(" | ")
        }
        GroupResponse::ListGroups(r) => listed(r),
        GroupResponse::DeleteGroups(r) => {
            let group = |g: &delete_groups::DeletableGroupResult| {
                format!(" {}:{}", g.group_id, g.error_code.name())
            };
            format!("delete{}", r.results.iter().map(group).collect::<String>())
        }
        GroupResponse::OffsetCommit(r) => {
            let codes = r.topics.iter().flat_map(|t| {
                t.partitions.iter().map(|p| (&t.name, p.partition_index, p.error_code))
            });
            let code = |(name, index, code): (&String, i32, ErrorCode)| {
                format!(" {name}-{index}:{}", code.name())
            };
            format!("commit{}", codes.map(code).collect::<String>())
        }
        GroupResponse::TxnOffsetCommit(r) => {
            let codes = r.topics.iter().flat_map(|t| {
                t.partitions.iter().map(|p| (&t.name, p.partition_index, p.error_code))
            });
            let code = |(name, index, code): (&String, i32, ErrorCode)| {
                format!(" {name}-{index}:{}", code.name())
            };
            format!("txn-commit{}", codes.map(code).collect::<String>())
        }
        GroupResponse::OffsetFetch(r) => fetched(r),
        GroupResponse::OffsetDelete(r) => {
            let rows = r.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (&t.name, p)));
            let row = |(name, p): (&String, &offset_delete::OffsetDeleteResponsePartition)| {
                format!(" {name}-{}:{}", p.partition_index, p.error_code.name())
            };
            format!("delete-offsets {}{}", r.error_code.name(), rows.map(row).collect::<String>())
        }
    }
}

fn joined(r: &JoinGroupResponse) -> String {
    let member =
        |m: &join_group::JoinGroupResponseMember| format!("{}={}", m.member_id, text(&m.metadata));
    let members: Vec<String> = r.members.iter().map(member).collect();
    if r.error_code.is_error() {
        return format!("join {} member={}", r.error_code.name(), r.member_id);
    }
    let skip = if r.skip_assignment { " skip-assignment" } else { "" };
    format!(
        "join generation={} protocol={} leader={} member={} [{}]{skip}",
        r.generation_id,
        r.protocol_name.as_deref().unwrap_or("-"),
        r.leader,
        r.member_id,
        members.join(" ")
    )
}

fn listed(r: &ListGroupsResponse) -> String {
    let group = |g: &list_groups::ListedGroup| {
        let kind = match g.group_type.as_str() {
            "classic" => String::new(),
            other => format!(" type={other}"),
        };
        format!(" {}({} {}{kind})", g.group_id, g.group_state, g.protocol_type)
    };
    let groups: String = r.groups.iter().map(group).collect();
    format!("list {}{groups}", r.error_code.name())
}

fn fetched(r: &OffsetFetchResponse) -> String {
    let one = |name: &str, index: i32, offset: i64, code: ErrorCode| {
        if code.is_error() {
            format!(" {name}-{index}:{}", code.name())
        } else {
            format!(" {name}-{index}={offset}")
        }
    };
    let mut line = format!("fetch {}", r.error_code.name());
    for topic in &r.topics {
        for p in &topic.partitions {
            line += &one(&topic.name, p.partition_index, p.committed_offset, p.error_code);
        }
    }
    for group in &r.groups {
        line = format!("fetch {}", group.error_code.name());
        for topic in &group.topics {
            let name = Topics.topic_name(topic.topic_id).unwrap_or(&topic.name);
            for p in &topic.partitions {
                line += &one(name, p.partition_index, p.committed_offset, p.error_code);
            }
        }
    }
    line
}

fn described(group: &describe_groups::DescribedGroup) -> String {
    let member = |m: &describe_groups::DescribedGroupMember| {
        format!("{}={}/{}", m.member_id, text(&m.member_metadata), text(&m.member_assignment))
    };
    let members: Vec<String> = group.members.iter().map(member).collect();
    let operations = match group.authorized_operations {
        i32::MIN => String::new(),
        set => format!(" operations={set:#b}"),
    };
    format!(
        "describe {} {} state={} type={} protocol={} [{}]{operations}",
        group.group_id,
        group.error_code.name(),
        group.group_state,
        group.protocol_type,
        group.protocol_data,
        members.join(" ")
    )
}
