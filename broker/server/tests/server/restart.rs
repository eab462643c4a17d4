//! What was acknowledged is there after the broker has ended, cleanly or not.

use mainstem_server::{Embedded, EmbeddedOptions, FlushPolicy, ServerError};

use crate::client::Client;
use crate::web;

fn options(directory: &std::path::Path, shards: u16) -> EmbeddedOptions {
    EmbeddedOptions {
        data_dir: Some(directory.into()),
        flush: FlushPolicy::Commit,
        shards,
        ..Default::default()
    }
}

#[test]
fn a_killed_broker_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut expected: Vec<Vec<u8>> = Vec::new();
    // Another number of shards each time: partitions are not bound to one.
    for (round, shards) in [1, 2, 3, 1, 2].into_iter().enumerate() {
        let broker = Embedded::start_with(options(directory.path(), shards)).expect("start");
        let mut client = Client::connect(&broker.bootstrap());
        client.create("kept");
        assert_eq!(client.fetch("kept", 0), expected, "round {round}");
        for number in 0..20 {
            let value = format!("{round}-{number}");
            let offset = client.produce("kept", &[value.as_bytes()]);
            assert_eq!(offset, Ok(expected.len() as i64), "round {round}");
            expected.push(value.into_bytes());
        }
        if round % 2 == 0 {
            broker.kill();
        } else {
            broker.stop().expect("stop");
        }
    }
}

#[test]
fn schemas_survive_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = Embedded::start_with(options(directory.path(), 2)).expect("start");
    let schema = "{\"schema\": \"\\\"int\\\"\"}";
    let answer = web::call(&broker.registry_url(), "POST", "/subjects/s/versions", schema);
    assert_eq!(answer.body, "{\"id\":1}");
    broker.kill();
    let broker = Embedded::start_with(options(directory.path(), 1)).expect("start");
    let answer = web::call(&broker.registry_url(), "GET", "/subjects/s/versions/1", "");
    assert_eq!(answer.body, r#"{"subject":"s","version":1,"id":1,"schema":"\"int\""}"#);
}

#[test]
fn a_directory_belongs_to_one_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Embedded::start_with(options(directory.path(), 1)).expect("start");
    let second = Embedded::start_with(options(directory.path(), 1));
    assert!(matches!(second, Err(ServerError::DirectoryInUse(_))));
    first.stop().expect("stop");
    Embedded::start_with(options(directory.path(), 1)).expect("start again");
}

#[test]
fn a_port_in_use_is_said_with_its_setting() {
    let first = Embedded::start().expect("start");
    let port = first.bootstrap().rsplit(':').next().and_then(|port| port.parse().ok());
    let second = Embedded::start_with(EmbeddedOptions {
        kafka_port: port.expect("a port"),
        ..Default::default()
    });
    let error = second.err().expect("the port is in use").to_string();
    assert!(error.contains("listeners"), "{error}");
}

#[test]
fn servers_start_and_stop_many_times() {
    for _ in 0..20 {
        let broker = Embedded::start().expect("start");
        let data_dir = broker.data_dir().to_owned();
        assert!(data_dir.exists());
        broker.stop().expect("stop");
        assert!(!data_dir.exists(), "the temporary directory goes with the broker");
    }
}
