//! Records of consumer groups in `__consumer_offsets`, byte for byte as brokers of Kafka 4.3 write
//! them, worked out by hand from their layouts: what an operator moves from one broker to another
//! must be read there.

use crate::TopicId;
use crate::codec::{Data, Reader, Writer};
use crate::messages::records::*;
use bytes::Bytes;
use std::fmt::Debug;

#[track_caller]
fn check<D: Data + PartialEq + Debug>(value: &D, version: i16, expected: &str) {
    let mut w = Writer::new();
    w.i16(version);
    value.encode(&mut w, version).unwrap();
    let bytes = w.into_bytes().unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected: String = expected.split_whitespace().collect();
    assert_eq!(hex, expected);
    let mut r = Reader::new(bytes.slice(2..));
    assert_eq!(D::decode(&mut r, version).unwrap(), *value);
    r.finish().unwrap();
}

const ID: &str = "02020202020202020202020202020202";

#[test]
fn keys_of_consumer_groups() {
    let group_id = || "g".to_owned();
    let member_id = || "m1".to_owned();
    check(&ConsumerGroupMetadataKey { group_id: group_id() }, 3, "0003 000167");
    check(&ConsumerGroupPartitionMetadataKey { group_id: group_id() }, 4, "0004 000167");
    let key = ConsumerGroupMemberMetadataKey { group_id: group_id(), member_id: member_id() };
    check(&key, 5, "0005 000167 00026d31");
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id() };
    check(&key, 6, "0006 000167");
    let (group_id, member_id) = (group_id(), member_id());
    let key = ConsumerGroupTargetAssignmentMemberKey {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
    };
    check(&key, 7, "0007 000167 00026d31");
    let key = ConsumerGroupCurrentMemberAssignmentKey { group_id: group_id.clone(), member_id };
    check(&key, 8, "0008 000167 00026d31");
    let key = ConsumerGroupRegularExpressionKey { group_id, regular_expression: "a.*".to_owned() };
    check(&key, 16, "0010 000167 0003612e2a");
}

#[test]
fn epochs_of_consumer_groups() {
    let value = ConsumerGroupMetadataValue { epoch: 5, metadata_hash: 0 };
    check(&value, 0, "0000 00000005 00");
    let value = ConsumerGroupMetadataValue { epoch: 5, metadata_hash: 9 };
    check(&value, 0, "0000 00000005 01 00 08 0000000000000009");
    let value =
        ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: 5, assignment_timestamp: 7 };
    check(&value, 0, "0000 00000005 01 00 08 0000000000000007");
}

#[test]
fn members_of_consumer_groups() {
    use consumer_group_member_metadata_value::{ClassicMemberMetadata, ClassicProtocol};
    let mut value = ConsumerGroupMemberMetadataValue {
        instance_id: None,
        rack_id: Some("r".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        subscribed_topic_names: vec!["t".to_owned()],
        subscribed_topic_regex: Some(String::new()),
        rebalance_timeout_ms: 16,
        server_assignor: None,
        classic_member_metadata: None,
    };
    check(&value, 0, "0000 00 0272 0263 032f68 02 0274 01 00000010 00 00");
    value.classic_member_metadata = Some(ClassicMemberMetadata {
        session_timeout_ms: 3,
        supported_protocols: vec![ClassicProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"x"),
        }],
    });
    let classic = "01 00 10 01 00000003 02 0672616e6765 0278 00 00";
    let whole = format!("0000 00 0272 0263 032f68 02 0274 01 00000010 00 {classic}");
    check(&value, 0, &whole);
}

#[test]
fn assignments_of_consumer_groups() {
    use consumer_group_current_member_assignment_value::TopicPartitions;
    use consumer_group_target_assignment_member_value::TopicPartition;
    let topic_id = TopicId([2; 16]);
    let value = ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: vec![TopicPartition { topic_id, partitions: vec![0, 1] }],
    };
    check(&value, 0, &format!("0000 02 {ID} 03 00000000 00000001 00 00"));
    let value = ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: 5,
        previous_member_epoch: 4,
        state: 1,
        assigned_partitions: vec![TopicPartitions {
            topic_id,
            partitions: vec![7, 8],
            assignment_epochs: Some(vec![3, 5]),
        }],
        partitions_pending_revocation: vec![TopicPartitions {
            topic_id,
            partitions: vec![1],
            assignment_epochs: None,
        }],
    };
    let assigned = format!("02 {ID} 03 00000007 00000008 01 00 09 03 00000003 00000005");
    let revoking = format!("02 {ID} 02 00000001 00");
    check(&value, 0, &format!("0000 00000005 00000004 01 {assigned} {revoking} 00"));
    let value = ConsumerGroupRegularExpressionValue {
        topics: vec!["a".to_owned(), "bc".to_owned()],
        version: 7,
        timestamp: 8,
    };
    check(&value, 0, "0000 03 0261 036263 0000000000000007 0000000000000008 00");
}
