//! Incremental fetch sessions (KIP-227) and the order of answers on a connection.

use crate::driver::World;
use mainstem_node::NodeConfig;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, ProduceRequest,
};
use mainstem_protocol::record::BatchBuilder;

fn topic(world: &mut World, name: &str, partitions: i32) {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    assert_eq!(world.call(1, 7, &request).topics[0].error_code, ErrorCode::NONE);
}

fn produce_request(name: &str, partition: i32) -> ProduceRequest {
    let mut builder = BatchBuilder::new();
    builder.push(1_700_000_000_000, None, Some(b"v"), &[]);
    let records = Some(builder.finish().expect("a batch"));
    let data = PartitionProduceData { index: partition, records };
    let topic_data = vec![TopicProduceData {
        name: name.to_owned(),
        partition_data: vec![data],
        ..Default::default()
    }];
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data, ..Default::default() }
}

fn produce(world: &mut World, name: &str, partition: i32) {
    let response = world.call(1, 9, &produce_request(name, partition));
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
}

fn wish(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() }
}

fn fetch(
    world: &mut World,
    session: (i32, i32),
    wishes: Vec<FetchPartition>,
    forgotten: Vec<i32>,
) -> FetchResponse {
    let request = FetchRequest {
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics: vec![FetchTopic {
            topic: "t".to_owned(),
            partitions: wishes,
            ..Default::default()
        }],
        forgotten_topics_data: vec![ForgottenTopic {
            topic: "t".to_owned(),
            partitions: forgotten,
            ..Default::default()
        }],
        ..Default::default()
    };
    world.call(2, 12, &request)
}

fn partitions(response: &FetchResponse) -> Vec<i32> {
    let topics = response.responses.iter();
    topics.flat_map(|topic| &topic.partitions).map(|data| data.partition_index).collect()
}

#[test]
fn a_session_names_only_what_changed() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        topic(&mut world, "t", 3);
        let all = vec![wish(0, 0), wish(1, 0), wish(2, 0)];
        let first = fetch(&mut world, (0, 0), all, vec![]);
        let id = first.session_id;
        assert_ne!(id, 0);
        assert_eq!(partitions(&first), [0, 1, 2]);
        assert_eq!(partitions(&fetch(&mut world, (id, 1), vec![], vec![])), [] as [i32; 0]);
        produce(&mut world, "t", 1);
        let changed = fetch(&mut world, (id, 2), vec![], vec![]);
        assert_eq!((changed.session_id, partitions(&changed)), (id, vec![1]));
        // Still not consumed: still told.
        assert_eq!(partitions(&fetch(&mut world, (id, 3), vec![], vec![])), [1]);
        assert_eq!(
            partitions(&fetch(&mut world, (id, 4), vec![wish(1, 1)], vec![])),
            [] as [i32; 0]
        );
        produce(&mut world, "t", 2);
        assert_eq!(partitions(&fetch(&mut world, (id, 5), vec![], vec![2])), [] as [i32; 0]);
        let wrong = fetch(&mut world, (id, 9), vec![], vec![]);
        assert_eq!(wrong.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        let closed = fetch(&mut world, (id, -1), vec![wish(0, 0)], vec![]);
        assert_eq!((closed.session_id, partitions(&closed)), (0, vec![0]));
        let gone = fetch(&mut world, (id, 6), vec![], vec![]);
        assert_eq!(gone.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }
}

#[test]
fn a_full_cache_evicts_only_idle_sessions() {
    let mut config = NodeConfig::default();
    config.limits.fetch_sessions_max = 1;
    let mut world = World::with_config(1, config);
    topic(&mut world, "t", 1);
    let first = fetch(&mut world, (0, 0), vec![wish(0, 0)], vec![]).session_id;
    assert_ne!(first, 0);
    assert_eq!(fetch(&mut world, (0, 0), vec![wish(0, 0)], vec![]).session_id, 0);
    world.advance_ms(121_000);
    let second = fetch(&mut world, (0, 0), vec![wish(0, 0)], vec![]).session_id;
    assert_ne!(second, 0);
    let evicted = fetch(&mut world, (first, 1), vec![], vec![]);
    assert_eq!(evicted.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn produces_pipeline_and_all_answers_keep_their_order() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        topic(&mut world, "t", 2);
        world.hold_syncs = true;
        let before = world.syncs;
        for round in 0..6 {
            world.send(1, 9, &produce_request("t", round % 2));
        }
        // A fetch behind them waits for its turn.
        let request = FetchRequest {
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: "t".to_owned(),
                partitions: vec![wish(0, 0), wish(1, 0)],
                ..Default::default()
            }],
            ..Default::default()
        };
        world.send(1, 12, &request);
        assert!(world.take_frame(1).is_none());
        world.release_syncs();
        for round in 0..6 {
            let response = world.take::<ProduceRequest>(1, 9).expect("an answer");
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.index, answer.base_offset), (round % 2, i64::from(round / 2)));
        }
        let fetched = world.take::<FetchRequest>(1, 12).expect("an answer");
        let marks = fetched.responses.iter().flat_map(|topic| &topic.partitions);
        assert_eq!(marks.map(|data| data.high_watermark).collect::<Vec<_>>(), [3, 3]);
        // The first batch of a partition is synced alone, the rest of them together.
        assert!(world.syncs - before <= 4, "{} syncs for six batches", world.syncs - before);
    }
}
