//! The broker, and with it the coordinator, is killed around the end of a transaction. What was
//! decided holds, what was not is decided by the client's repetition, and nothing stays open.
//!
//! The steps between the decision and its last record are inside of the broker; they are tried one
//! by one in `broker/node/tests/node/coordinator_crashes.rs`.

use mainstem_protocol::ApiKey;

use super::proxy::{Act, Version};
use super::room::{End, Room, end, write};

/// The end has not arrived when the broker is killed: the client's repetition decides.
pub(crate) async fn before_the_end_arrives(version: Version) {
    for how in [End::Commit, End::Abort] {
        killed(version, Some(Act::Keep), how).await;
    }
}

/// The end is decided, and the answer is lost with the broker.
pub(crate) async fn before_the_answer_arrives(version: Version) {
    for how in [End::Commit, End::Abort] {
        killed(version, Some(Act::LoseAnswer), how).await;
    }
}

/// The end is answered, and perhaps not all of its markers are written.
pub(crate) async fn after_the_answer(version: Version) {
    for how in [End::Commit, End::Abort] {
        killed(version, None, how).await;
    }
}

async fn killed(version: Version, act: Option<Act>, how: End) {
    let mut room = Room::new(version).await;
    let producer = room.producer().await;
    producer.begin_transaction().expect("begin");
    write(&producer, "first").await;
    match act {
        Some(act) => {
            let reached = room.proxy.next(ApiKey::EndTxn, act);
            let ending = tokio::spawn({
                let producer = producer.clone();
                async move { end(&producer, how).await }
            });
            reached.await.expect("the end was on its way");
            room.restart();
            ending.await.expect("the end succeeds");
        }
        None => {
            end(&producer, how).await;
            room.restart();
        }
    }
    room.settle().await;
    let mut expected = Vec::new();
    if how == End::Commit {
        expected.push("first");
    }
    assert_eq!(room.committed().await, expected, "{version:?} {act:?} {how:?}");

    // The producer goes on, over a kill in the middle of its transaction too.
    producer.begin_transaction().expect("begin");
    write(&producer, "second").await;
    room.restart();
    write(&producer, "third").await;
    end(&producer, End::Commit).await;
    room.settle().await;
    expected.extend(["second", "third"]);
    assert_eq!(room.committed().await, expected, "{version:?} {act:?} {how:?}");
}
