//! The schema registry hosted by the broker, its metrics, and clients that leave.

use crate::driver::World;
use mainstem_node::{LocalCommand, LocalReply, MetricsSnapshot};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::{FetchRequest, MetadataRequest};
use mainstem_registry::{Command, Response, SchemaId, SchemaText};

fn register(world: &mut World, subject: &str) -> Response {
    let schema = SchemaText { schema: "\"string\"".to_owned(), ..SchemaText::default() };
    let command = Command::Register { subject: subject.to_owned(), schema, normalize: false };
    match world.command(0, LocalCommand::Registry(command)) {
        LocalReply::Registry(reply) => reply.expect("the schema is taken"),
        other => panic!("{other:?}"),
    }
}

fn metrics(world: &mut World, shard: usize) -> Box<MetricsSnapshot> {
    match world.command(shard, LocalCommand::Metrics) {
        LocalReply::Metrics(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

#[test]
fn schemas_outlive_the_broker() {
    let mut world = World::new(2);
    let registered = Response::Registered { id: SchemaId(1) };
    assert_eq!(register(&mut world, "a-value"), registered);
    world.crash(3);
    assert_eq!(register(&mut world, "a-value"), registered);
    assert_eq!(register(&mut world, "b-value"), registered);
    let wrong = world.command(1, LocalCommand::Registry(Command::SchemaById { id: SchemaId(1) }));
    assert!(matches!(wrong, LocalReply::Failed { .. }), "only shard zero has the registry");
}

#[test]
fn a_client_that_leaves_leaves_nothing_behind() {
    let mut world = World::new(2);
    let named = MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![named]), ..Default::default() };
    world.call(1, 12, &request);
    let fetch = FetchRequest {
        max_wait_ms: 10_000,
        min_bytes: 1,
        max_bytes: 1000,
        topics: vec![FetchTopic {
            topic: "t".to_owned(),
            partitions: vec![FetchPartition { partition_max_bytes: 1000, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };
    world.send(1, 12, &fetch);
    assert_eq!(metrics(&mut world, 1).fetches_waiting, 1);
    world.disconnect(1);
    let after = metrics(&mut world, 1);
    assert_eq!((after.fetches_waiting, after.connections), (0, 0));
    assert_eq!(after.apis["Fetch"].requests, 1);
    world.advance_ms(20_000);
    assert!(world.take_frame(1).is_none());
}
