//! Several log directories on a real file system.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstem_platform::Disk;
use mainstem_platform::os::OsDisk;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::{
    AlterReplicaLogDirsRequest, DescribeLogDirsRequest, DescribeLogDirsResponse, FetchRequest,
};
use mainstem_server::{Server, ServerConfig, ServerError};

use crate::client::Client;
use crate::faulty_disk::FaultyDisk;

fn start(dirs: &[PathBuf]) -> Result<Server, ServerError> {
    start_on(dirs, Arc::new(OsDisk))
}

fn start_on(dirs: &[PathBuf], disk: Arc<dyn Disk>) -> Result<Server, ServerError> {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let properties = [
        ("log.dirs", dirs.join(",")),
        ("listeners", "127.0.0.1:0".to_owned()),
        ("registry.listener", "off".to_owned()),
        ("metrics.listener", "off".to_owned()),
        ("shards", "2".to_owned()),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value));
    let config = ServerConfig::from_properties(properties).expect("the settings are right");
    Server::start_on(config, disk)
}

fn connect(server: &Server) -> Client {
    Client::connect(&server.kafka_address().to_string())
}

/// The directory of each topic's first partition.
fn directory_of(response: &DescribeLogDirsResponse, topic: &str) -> Option<PathBuf> {
    let mut dirs = response.results.iter();
    let has_it = |name: &str| name == topic;
    dirs.find(|dir| dir.topics.iter().any(|t| has_it(&t.name) && !t.partitions[0].is_future_key))
        .map(|dir| PathBuf::from(&dir.log_dir))
}

#[test]
fn partitions_spread_move_and_survive_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let dirs = ["one", "two"].map(|name| directory.path().join(name));
    let server = start(&dirs).expect("start");
    let mut client = connect(&server);
    for topic in ["a", "b"] {
        client.create(topic);
        client.produce(topic, &[b"value"]).expect("produce");
    }
    let all = DescribeLogDirsRequest { topics: None };
    let described = client.call(&all, 5);
    for (topic, dir) in ["a", "b"].into_iter().zip(&dirs) {
        assert_eq!(directory_of(&described, topic).as_ref(), Some(dir));
        assert!(dir.join(format!("{topic}-0")).is_dir());
    }
    for dir in &described.results {
        assert_eq!(dir.error_code, ErrorCode::NONE);
        assert!(0 < dir.usable_bytes && dir.usable_bytes <= dir.total_bytes, "{dir:?}");
        assert!(0 < dir.topics[0].partitions[0].partition_size);
    }

    move_to(&mut client, "a", &dirs[1]);
    assert!(dirs[1].join("a-0").is_dir() && !dirs[0].join("a-0").exists());
    assert_eq!(client.produce("a", &[b"more"]), Ok(1));
    server.abandon();

    let server = start(&dirs).expect("start again");
    let mut client = connect(&server);
    assert_eq!(client.fetch("a", 0), [b"value".to_vec(), b"more".to_vec()]);
    assert_eq!(client.fetch("b", 0), [b"value".to_vec()]);
    server.stop().expect("stop");
}

/// Asks for a move of a topic's first partition and waits until it is there.
fn move_to(client: &mut Client, topic: &str, dir: &Path) {
    let topics = vec![AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![0] }];
    let to = AlterReplicaLogDir { path: dir.display().to_string(), topics };
    let moved = client.call(&AlterReplicaLogDirsRequest { dirs: vec![to] }, 2);
    assert_eq!(moved.results[0].partitions[0].error_code, ErrorCode::NONE);
    let all = DescribeLogDirsRequest { topics: None };
    // Each question waits on the broker's side for as long as a fetch does.
    let arrived = (0..500).any(|_| {
        wait_a_moment(client);
        directory_of(&client.call(&all, 1), topic).as_deref() == Some(dir)
    });
    assert!(arrived, "{topic} did not move to {}", dir.display());
}

#[test]
fn acknowledged_records_survive_moves_under_load() {
    let directory = tempfile::tempdir().expect("a directory");
    let dirs = ["one", "two"].map(|name| directory.path().join(name));
    let server = start(&dirs).expect("start");
    let mut client = connect(&server);
    client.create("a");
    client.create("b");
    client.produce("b", &[b"value"]).expect("produce");
    let bootstrap = server.kafka_address().to_string();
    let done = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = Client::connect(&bootstrap);
            let padding = vec![b'.'; 10_000];
            let mut count = 0_i64;
            while !done.load(Ordering::Relaxed) {
                let value = [count.to_string().as_bytes(), &padding].concat();
                assert_eq!(client.produce("a", &[&value]), Ok(count));
                count += 1;
            }
            count
        });
        for dir in dirs.iter().rev().chain(dirs.iter().rev()) {
            move_to(&mut client, "a", dir);
        }
        done.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends well")
    });
    assert!(0 < acknowledged);
    server.abandon();
    let server = start(&dirs).expect("start again");
    let mut client = connect(&server);
    let mut next = 0;
    while next < acknowledged {
        let values = client.fetch("a", next);
        assert!(!values.is_empty(), "record {next} of {acknowledged} is missing");
        for value in values {
            let number = next.to_string();
            assert_eq!(value[..=number.len()], [number.as_bytes(), b"."].concat());
            next += 1;
        }
    }
    server.stop().expect("stop");
}

#[test]
fn a_disk_that_fails_takes_its_partitions_and_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let dirs = ["one", "two"].map(|name| directory.path().join(name));
    let disk = FaultyDisk::default();
    let server = start_on(&dirs, Arc::new(disk.clone())).expect("start");
    let mut client = connect(&server);
    for topic in ["a", "b"] {
        client.create(topic);
        client.produce(topic, &[b"acknowledged"]).expect("produce");
    }
    disk.fail_syncs_below(&dirs[1]);
    assert_eq!(client.produce("b", &[b"lost"]), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(client.produce("b", &[b"too late"]), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(client.produce("a", &[b"more"]), Ok(1));
    let described = client.call(&DescribeLogDirsRequest { topics: None }, 5);
    let errors: Vec<ErrorCode> = described.results.iter().map(|dir| dir.error_code).collect();
    assert_eq!(errors, [ErrorCode::NONE, ErrorCode::KAFKA_STORAGE_ERROR]);
    assert_eq!(client.fetch("a", 0).len(), 2);
    server.stop().expect("a broker that has lost a disk stops cleanly");

    // With another disk that holds what the broken one kept, all is there again.
    let server = start(&dirs).expect("start again");
    let mut client = connect(&server);
    assert_eq!(client.fetch("b", 0)[0], b"acknowledged");
    assert_eq!(client.fetch("a", 0), [b"acknowledged".to_vec(), b"more".to_vec()]);
    server.stop().expect("stop");

    // A broker starts without it, too, but not without the disk of the metadata.
    let server = start_on(&dirs, Arc::new(disk.clone())).expect("start with one disk");
    let mut client = connect(&server);
    assert_eq!(client.produce("b", &[b"too late"]), Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(client.produce("a", &[b"and more"]), Ok(2));
    disk.fail_syncs_below(&dirs[0]);
    client.send_produce("a", &[b"lost"]);
    let error = server.wait().expect_err("the broker halts").to_string();
    assert!(error.contains(&dirs[0].display().to_string()), "{error}");
}

/// A fetch behind the end of a log comes back after its time.
fn wait_a_moment(client: &mut Client) {
    let partition =
        FetchPartition { fetch_offset: 1, partition_max_bytes: 1, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: "b".into(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: 20,
        min_bytes: 1,
        max_bytes: 1,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    client.call(&request, 11);
}

#[test]
fn a_directory_that_is_not_right_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let dirs = ["one", "two"].map(|name| directory.path().join(name));
    start(&dirs).expect("start").stop().expect("stop");
    let refused = |dirs: &[PathBuf], expected: &[&str]| {
        let error = start(dirs).err().expect("it does not start").to_string();
        for expected in expected {
            assert!(error.contains(expected), "{expected} in {error}");
        }
    };
    let show = |path: &Path| path.display().to_string();
    let (one, two) = (show(&dirs[0]), show(&dirs[1]));

    refused(&dirs[..1], &[&two, "is missing"]);

    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&dirs[1], &link).expect("link");
    let twice = [dirs[0].clone(), dirs[1].clone(), link.clone()];
    refused(&twice, &["twice", &two, &show(&link)]);

    let foreign = directory.path().join("foreign");
    start(std::slice::from_ref(&foreign)).expect("start").stop().expect("stop");
    let with_foreign = [dirs[0].clone(), dirs[1].clone(), foreign.clone()];
    refused(&with_foreign, &[&show(&foreign), "belongs to cluster", &one]);

    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").expect("write");
    refused(&[dirs[0].clone(), dirs[1].clone(), file.clone()], &[&show(&file)]);

    start(&dirs).expect("the right ones start").stop().expect("stop");
}
