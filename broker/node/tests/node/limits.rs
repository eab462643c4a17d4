//! What strangers may send: unknown APIs, broken bodies, too much at once.

use crate::driver::World;
use crate::driver::script::check_in;
use bytes::{BufMut, Bytes, BytesMut};
use mainstem_node::NodeConfig;
use mainstem_protocol::messages::api_versions::ApiVersionsRequest;
use mainstem_protocol::{ApiKey, ErrorCode};

fn frame(key: i16, version: i16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame.freeze()
}

#[test]
fn what_cannot_be_read_closes_its_connection_and_nothing_else() {
    let mut world = World::new(2);
    let frames = [
        frame(999, 0, &[]),
        frame(3, 99, &[]),
        frame(3, 1, &[0xff, 0xff]),
        Bytes::from_static(&[0, 3]),
        Bytes::new(),
        // A join that ends early, carried out by shard zero for a client of shard one.
        frame(11, 2, &[0, 9, b'g']),
        // An array that says it has two thousand million entries.
        frame(3, 1, &i32::MAX.to_be_bytes()),
    ];
    for (index, frame) in frames.into_iter().enumerate() {
        let connection = 10 + index as u64;
        world.send_frame(connection, frame);
        world.pump();
        assert!(world.closed.contains(&connection), "frame {index} is refused");
    }
    let response = world.call(1, 0, &ApiVersionsRequest::default());
    assert_eq!(response.error_code, ErrorCode::NONE);
}

#[test]
fn api_versions_shows_what_works() {
    let mut world = World::new(1);
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
    };
    let response = world.call(1, 4, &request);
    let range = |key: ApiKey| {
        let row = response.api_keys.iter().find(|row| row.api_key == key as i16);
        row.map(|row| (row.min_version, row.max_version))
    };
    assert_eq!(range(ApiKey::Produce), Some((0, 13)));
    assert_eq!(range(ApiKey::Fetch), Some((4, 18)));
    let mut levels = response.finalized_features.iter();
    let transactions = levels.find(|feature| feature.name == "transaction.version");
    assert_eq!(transactions.map(|feature| feature.max_version_level), Some(2));
    let mut levels = response.finalized_features.iter();
    let groups = levels.find(|feature| feature.name == "group.version");
    assert_eq!(groups.map(|feature| feature.max_version_level), Some(1));
    // Older clients cannot read a feature whose lowest level is zero.
    let older = world.call(1, 3, &request).supported_features;
    assert!(older.iter().all(|feature| 0 < feature.min_version));
    let nameless = ApiVersionsRequest::default();
    assert_eq!(world.call(1, 3, &nameless).error_code, ErrorCode::INVALID_REQUEST);
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_zero() {
    let mut world = World::new(1);
    world.send_frame(1, frame(18, 99, &[1, 2, 3]));
    world.pump();
    let answer = world.take_frame(1).expect("an answer");
    // Correlation id, error 35, one line: this API from 0 to 4.
    assert_eq!(&answer[..], [0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    assert!(!world.closed.contains(&1));
}

#[test]
fn a_connection_that_sends_too_much_is_not_read_from() {
    let mut world = World::new(1);
    // A fetch that waits; what comes behind it queues up.
    let mut waiting = BytesMut::new();
    waiting.put_i32(-1); // replica
    waiting.put_i32(1000); // wait
    waiting.put_i32(1); // bytes
    waiting.put_i32(1000); // most bytes
    waiting.put_i8(0);
    waiting.put_i32(0); // no topics
    world.send_frame(1, frame(1, 4, &waiting));
    world.pump();
    assert!(world.take_frame(1).is_some(), "a fetch of nothing is answered at once");

    let before = world.not_reading.len();
    for _ in 0..1000 {
        world.send_frame(1, frame(18, 0, &[]));
    }
    world.pump();
    let mut answers = 0;
    while world.take_frame(1).is_some() {
        answers += 1;
    }
    assert_eq!((answers, before, world.not_reading.len()), (1000, 0, 0));
}

/// All clients together have a limit: who sends more while it is reached waits, and nobody else.
#[test]
fn frames_of_all_connections_have_a_limit() {
    let mut config = NodeConfig::default();
    config.limits.frame_bytes_of_all_max = 1_000;
    let value = "x".repeat(1_000);
    let script = format!(
        r"
topic t 1
  t NONE
hold
produce t-0 {value} on=1
  no answer
# The limit is reached; a second client is taken at its word once more, and then not read from.
produce t-0 b on=2
  no answer
held
  {{1, 2}}
release
answer on=1
  base=0
answer on=2
  base=1
held
  {{}}
"
    );
    check_in(World::with_config(1, config), &script);
}
