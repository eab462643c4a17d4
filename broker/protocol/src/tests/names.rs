//! Names and numbers: topic ids, error codes, partitions of keys, blobs of consumers.

use crate::consumer_protocol::*;
use crate::ids::{Offset, TopicId};
use crate::partitioner::{murmur2, partition_for_key};
use crate::{ApiKey, ErrorCode};
use bytes::Bytes;
use kafka_protocol::ResponseError;

/// As `Uuid.toString` of Kafka prints them.
#[test]
fn topic_ids_are_printed_as_kafka_prints_them() {
    let id = TopicId(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210u128.to_be_bytes());
    for (id, text) in [
        (id, "ASNFZ4mrze_-3LqYdlQyEA"),
        (TopicId([0xff; 16]), "_____________________w"),
        (TopicId::NONE, "AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
    }
    for text in ["", "ASNFZ4mrze_-3LqYdlQyE", "ASNFZ4mrze/+3LqYdlQyEA", "ASNFZ4mrze_-3LqYdlQyEAA"] {
        assert!(text.parse::<TopicId>().is_err(), "{text}");
    }
}

#[test]
fn numbers_know_none() {
    assert!(Offset::NONE.is_none() && Offset::ZERO.is_some());
    assert_eq!(Offset(41).next(), Offset(42));
    assert_eq!(Offset(40).plus(2).to_string(), "42");
}

#[test]
fn error_codes_are_those_of_the_other_implementation() {
    for code in ErrorCode::ALL.iter().filter(|code| code.is_error()) {
        let theirs = match ResponseError::try_from_code(code.0) {
            None | Some(ResponseError::Unknown(_)) => continue,
            Some(theirs) => theirs,
        };
        let name: String = code.name().split('_').map(str::to_lowercase).collect();
        assert_eq!(format!("{theirs:?}").to_lowercase(), name);
        // Retriable since KIP-890, which their table does not know yet.
        let deviates = *code == ErrorCode::CONCURRENT_TRANSACTIONS;
        assert_eq!(theirs.is_retriable(), code.is_retriable() && !deviates, "{code}");
    }
    assert_eq!(ErrorCode(9999).name(), "UNKNOWN_ERROR_CODE");
    assert_eq!(format!("{:?}", ErrorCode::NOT_COORDINATOR), "NOT_COORDINATOR(16)");
}

#[test]
fn api_keys_are_found_by_number() {
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::try_from(*api as i16), Ok(*api));
        assert!(api.min_version() <= api.max_version());
    }
    assert_eq!(ApiKey::try_from(4), Err(4), "LeaderAndIsr is gone");
}

/// Computed by the hash function of Kafka's own client.
#[test]
fn keys_go_to_the_partitions_of_kafka() {
    for (key, hash) in [
        ("", 275646681),
        ("a", -1563381124),
        ("ab", 316155434),
        ("abc", 479470107),
        ("abcd", -1323649548),
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("水", -629660319),
    ] {
        assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        assert_eq!(partition_for_key(key.as_bytes(), 7), (hash & i32::MAX) % 7, "{key}");
    }
}

#[test]
fn a_newer_subscription_is_read_as_far_as_it_is_known() {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["a".into(), "b".into()],
        user_data: Some(Bytes::from_static(b"x")),
        generation_id: 4,
        rack_id: Some("r1".into()),
        ..Default::default()
    };
    let blob = encode_subscription(&subscription, 3).unwrap();
    assert_eq!(decode_subscription(&blob), Ok(subscription.clone()));
    let mut newer = blob.to_vec();
    newer[1] = 9;
    newer.extend_from_slice(b"what version 9 adds");
    assert_eq!(decode_subscription(&newer.into()), Ok(subscription));
    assert!(decode_subscription(&Bytes::from_static(b"\xff\xff")).is_err());
    assert_eq!(decode_assignment(&Bytes::new()), Ok(ConsumerProtocolAssignment::default()));
}
