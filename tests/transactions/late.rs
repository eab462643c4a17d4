//! Requests that arrive late, when their client has long gone on with another connection.
//!
//! Under version 2 the broker tells them by their epoch. Under version 1 all transactions of a
//! session have one epoch, so the client has to see to it: after a request whose fate it does not
//! know it takes a new epoch before the next transaction.

use std::time::Duration;

use mainstem_client::{OffsetAndMetadata, ProducerRecord, TopicPartition};
use mainstem_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest,
    TxnOffsetCommitRequest,
};
use mainstem_protocol::{ApiKey, ErrorCode};

use super::proxy::{Act, Version};
use super::room::{End, Room, TOPIC, end, write};

const ENDS: [End; 2] = [End::Commit, End::Abort];

/// KAFKA-17754: the end of a transaction arrives in the next one.
pub(crate) async fn an_end_in_the_next_transaction(version: Version) {
    for first in ENDS {
        for second in ENDS {
            late_end(version, Act::Keep, first, second).await;
        }
    }
}

/// The same with a client that runs into its own timeout.
pub(crate) async fn an_end_after_a_timeout(version: Version) {
    late_end(version, Act::KeepSilently, End::Commit, End::Abort).await;
}

async fn late_end(version: Version, act: Act, first: End, second: End) {
    let room = Room::new(version).await;
    let producer = match act {
        // It runs into this timeout once.
        Act::KeepSilently => {
            let patience = Duration::from_millis(500);
            room.producer_with(|config| config.request_timeout(patience)).await
        }
        _ => room.producer().await,
    };
    producer.begin_transaction().expect("begin");
    write(&producer, "first").await;
    let kept = room.proxy.next(ApiKey::EndTxn, act);
    end(&producer, first).await;
    let late = kept.await.expect("an end was kept");
    let mut expected = Vec::new();
    if first == End::Commit {
        expected.push("first");
    }
    room.settle().await;

    // Nothing is open: it says again what was decided, or that its time is over.
    let answer = room.deliver::<EndTxnRequest>(&late).await.error_code;
    let right = match version {
        Version::One => ErrorCode::PRODUCER_FENCED,
        Version::Two => ErrorCode::NONE,
    };
    assert_eq!(answer, right, "{version:?} {first:?}");

    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    let answer = room.deliver::<EndTxnRequest>(&late).await.error_code;
    assert_eq!(answer, ErrorCode::PRODUCER_FENCED, "{version:?} {first:?}");
    assert_eq!(room.committed().await, expected, "the second is still open");
    write(&producer, "third").await;
    end(&producer, second).await;
    if second == End::Commit {
        expected.extend(["second", "third"]);
    }
    room.settle().await;
    assert_eq!(room.committed().await, expected, "{version:?} {first:?} {second:?}");
    let answer = room.deliver::<EndTxnRequest>(&late).await.error_code;
    assert_eq!(answer, ErrorCode::PRODUCER_FENCED);
    assert_eq!(room.committed().await, expected);
}

/// A batch of one transaction arrives in the next.
pub(crate) async fn a_batch_in_the_next_transaction(version: Version) {
    let room = Room::new(version).await;
    let producer = room.producer().await;
    producer.begin_transaction().expect("begin");
    let kept = room.proxy.next(ApiKey::Produce, Act::Keep);
    write(&producer, "first").await;
    let late = kept.await.expect("a batch was kept");
    end(&producer, End::Commit).await;
    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    let answer = room.deliver::<ProduceRequest>(&late).await;
    let partition = &answer.responses[0].partition_responses[0];
    match version {
        // The same epoch and sequence: it is the batch that was written then.
        Version::One => {
            assert_eq!((partition.error_code, partition.base_offset), (ErrorCode::NONE, 0));
        }
        Version::Two => assert_eq!(partition.error_code, ErrorCode::INVALID_PRODUCER_EPOCH),
    }
    end(&producer, End::Commit).await;
    room.settle().await;
    assert_eq!(room.everything().await, ["first", "second"], "nothing stands twice");
    assert_eq!(room.committed().await, ["first", "second"]);
}

/// The same when the client has given the batch up and aborted.
pub(crate) async fn a_batch_given_up(version: Version) {
    let room = Room::new(version).await;
    let producer = room.producer().await;
    producer.begin_transaction().expect("begin");
    write(&producer, "first").await;
    let kept = room.proxy.next(ApiKey::Produce, Act::Keep);
    let record = ProducerRecord::new(TOPIC, "given up").partition(0);
    let given_up = producer.send(record).await.expect("send");
    let late = kept.await.expect("a batch was kept");
    end(&producer, End::Abort).await;
    // Whether its repetition came in before the abort is a matter of luck.
    let before = usize::from(given_up.await.is_ok());
    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    let answer = room.deliver::<ProduceRequest>(&late).await;
    let answer = answer.responses[0].partition_responses[0].error_code;
    assert!(before == 1 || answer == ErrorCode::INVALID_PRODUCER_EPOCH, "{answer:?}");
    end(&producer, End::Commit).await;
    room.settle().await;
    assert_eq!(room.committed().await, ["second"]);
    assert_eq!(room.everything().await.len(), 2 + before);
}

/// AddPartitionsToTxn arrives when its transaction is over: it must not begin another, which nobody
/// would end.
pub(crate) async fn added_partitions(version: Version) {
    let room = Room::new(version).await;
    let producer = room.producer().await;
    producer.begin_transaction().expect("begin");
    let kept = room.proxy.next(ApiKey::AddPartitionsToTxn, Act::Keep);
    write(&producer, "first").await;
    let late = kept.await.expect("a request was kept");
    end(&producer, End::Commit).await;
    room.settle().await;
    let fenced = async || {
        let answer = room.deliver::<AddPartitionsToTxnRequest>(&late).await;
        let topic = &answer.results_by_topic_v3_and_below[0];
        topic.results_by_partition[0].partition_error_code
    };
    assert_eq!(fenced().await, ErrorCode::PRODUCER_FENCED);
    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    assert_eq!(fenced().await, ErrorCode::PRODUCER_FENCED);
    end(&producer, End::Commit).await;
    room.settle().await;
    assert_eq!(room.committed().await, ["first", "second"]);
}

/// Offsets of one transaction arrive in the next, and would take its own back.
pub(crate) async fn offsets_in_the_next_transaction(version: Version) {
    let room = Room::new(version).await;
    let producer = room.producer().await;
    let consumer = room.member().await;
    let group = consumer.group_metadata().expect("a group");
    let partition = TopicPartition::new(TOPIC, 0);
    let at = |offset| [(partition.clone(), OffsetAndMetadata::new(offset))];
    producer.begin_transaction().expect("begin");
    let kept = room.proxy.next(ApiKey::TxnOffsetCommit, Act::Keep);
    producer.send_offsets(&at(5), &group).await.expect("send offsets");
    let late = kept.await.expect("offsets were kept");
    end(&producer, End::Commit).await;
    producer.begin_transaction().expect("begin");
    producer.send_offsets(&at(9), &group).await.expect("send offsets");
    let answer = room.deliver::<TxnOffsetCommitRequest>(&late).await;
    let answer = answer.topics[0].partitions[0].error_code;
    assert_eq!(answer, ErrorCode::INVALID_PRODUCER_EPOCH);
    end(&producer, End::Commit).await;
    let committed = consumer.committed(std::slice::from_ref(&partition)).await.expect("committed");
    assert_eq!(committed[&partition].offset, 9);
}

/// InitProducerId with which a client raised its own epoch arrives again in the next transaction.
/// Apache's coordinator would abort that one.
pub(crate) async fn a_raised_epoch(version: Version) {
    let room = Room::new(version).await;
    let producer = room.producer().await;
    producer.begin_transaction().expect("begin");
    write(&producer, "first").await;
    let lost = room.proxy.next(ApiKey::EndTxn, Act::LoseAnswer);
    let copied = room.proxy.next(ApiKey::InitProducerId, Act::Copy);
    end(&producer, End::Commit).await;
    lost.await.expect("an answer was lost");
    let late = copied.await.expect("the epoch was raised");
    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    let answer = room.deliver::<InitProducerIdRequest>(&late).await.error_code;
    assert_eq!(answer, ErrorCode::PRODUCER_FENCED);
    end(&producer, End::Commit).await;
    room.settle().await;
    assert_eq!(room.committed().await, ["first", "second"]);
}

/// Every answer of a transaction is lost once; what is done again counts once.
pub(crate) async fn lost_answers(version: Version) {
    let room = Room::new(version).await;
    let consumer = room.member().await;
    let group = consumer.group_metadata().expect("a group");
    let partition = TopicPartition::new(TOPIC, 0);
    let keys: &[ApiKey] = match version {
        Version::One => &[
            ApiKey::AddPartitionsToTxn,
            ApiKey::Produce,
            ApiKey::AddOffsetsToTxn,
            ApiKey::TxnOffsetCommit,
            ApiKey::EndTxn,
        ],
        Version::Two => &[ApiKey::Produce, ApiKey::TxnOffsetCommit, ApiKey::EndTxn],
    };
    let producer = room.producer().await;
    for (number, key) in keys.iter().enumerate() {
        let lost = room.proxy.next(*key, Act::LoseAnswer);
        producer.begin_transaction().expect("begin");
        write(&producer, &format!("{key:?}")).await;
        let offsets = [(partition.clone(), OffsetAndMetadata::new(number as i64))];
        producer.send_offsets(&offsets, &group).await.expect("send offsets");
        end(&producer, End::Commit).await;
        lost.await.expect("an answer was lost");
        let committed = consumer.committed(std::slice::from_ref(&partition)).await;
        assert_eq!(committed.expect("committed")[&partition].offset, number as i64, "{key:?}");
    }
    room.settle().await;
    let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
    assert_eq!(room.committed().await, names);
    assert_eq!(room.everything().await, names);
}
