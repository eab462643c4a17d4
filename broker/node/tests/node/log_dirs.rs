//! Several log directories: where partitions go, what happens when a disk fails, and moving.

use crate::driver::World;
use crate::driver::script::check_in;
use mainstem_node::NodeConfig;
use mainstem_platform::Disk;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use std::collections::BTreeMap;
use std::path::Path;

fn world(shards: u16, further: &[&str]) -> World {
    let further_log_dirs = further.iter().map(Into::into).collect();
    World::with_config(shards, NodeConfig { further_log_dirs, ..NodeConfig::default() })
}

/// Runs a script on `/data` and `/b`, on one shard and on two.
fn check(script: &str) {
    for shards in [1, 2] {
        check_in(world(shards, &["/b"]), script);
    }
}

#[test]
fn new_partitions_go_where_there_are_fewest() {
    check(
        r"
topic t 3
  t NONE
dirs
  /data t-0 t-2
  /b t-1
topic u 2
  u NONE
dirs
  /data t-0 t-2 u-1
  /b t-1 u-0
delete t
  NONE
topic v 2
  v NONE
dirs
  /data u-1 v-0
  /b u-0 v-1
produce u-0 a
  base=0
# Partitions stay where they are, whoever serves them.
restart shards=2
dirs
  /data u-1 v-0
  /b u-0 v-1
crash seed=3
dirs
  /data u-1 v-0
  /b u-0 v-1
fetch u-0@0
  u-0 hw=1 [0:a]
",
    );
}

#[test]
fn a_failed_sync_takes_its_directory_offline_and_no_more() {
    check(
        r"
topic t 2
  t NONE
produce t-0 a
  base=0
produce t-1 b
  base=0
fetch t-1@1 wait=60000 on=4
  waits
hold
produce t-1 c
  no answer
produce t-0 d on=3
  no answer
break /b
release
answer
  KAFKA_STORAGE_ERROR
answer on=3
  base=1
fetched on=4
  t-1 KAFKA_STORAGE_ERROR
produce t-1 e
  KAFKA_STORAGE_ERROR
fetch t-1@0
  t-1 KAFKA_STORAGE_ERROR
offsets t-1 latest
  KAFKA_STORAGE_ERROR offset=-1 timestamp=-1
leaders t
  0 leader=1 NONE offline=[]
  1 leader=-1 KAFKA_STORAGE_ERROR offline=[1]
dirs
  /data t-0
  /b KAFKA_STORAGE_ERROR
# The disk is never tried again while the broker lives.
mend /b
produce t-1 f
  KAFKA_STORAGE_ERROR
topic u 2
  u NONE
dirs
  /data t-0 u-0 u-1
  /b KAFKA_STORAGE_ERROR
produce u-0 g
  base=0
halted
  false
# What was acknowledged is there again; what was not has gone with the power.
crash seed=2
fetch t-0@0 t-1@0
  t-0 hw=2 [0:a 1:d]
  t-1 hw=1 [0:b]
dirs
  /data t-0 u-0 u-1
  /b t-1
",
    );
}

#[test]
fn a_write_that_fails_or_finds_no_room_takes_the_directory_offline() {
    for fault in ["break", "fill"] {
        let script = r"
topic t 2
  t NONE
produce t-1 a
  base=0
FAULT /b
produce t-1 b
  KAFKA_STORAGE_ERROR
mend /b
produce t-1 c
  KAFKA_STORAGE_ERROR
dirs
  /data t-0
  /b KAFKA_STORAGE_ERROR
kill
fetch t-1@0
  t-1 hw=1 [0:a]
";
        check(&script.replace("FAULT", fault));
    }
}

#[test]
fn without_the_directory_of_the_metadata_there_is_no_broker() {
    check(
        r"
topic t 2
  t NONE
break /data
produce t-0 a
  no answer
halted
  true
mend /data
kill
offsets t-0 latest
  NONE offset=0 timestamp=-1
",
    );
}

#[test]
fn a_deleted_topic_that_was_offline_does_not_come_back() {
    check(
        r"
topic t 2
  t NONE
produce t-1 a
  base=0
break /b
produce t-1 b
  KAFKA_STORAGE_ERROR
delete t
  NONE
mend /b
kill
metadata t
  t UNKNOWN_TOPIC_OR_PARTITION partitions=0
topic t 2
  t NONE
fetch t-1@0
  t-1 hw=0 []
",
    );
}

#[test]
fn groups_of_a_failed_directory_have_no_coordinator_and_the_others_live() {
    use mainstem_protocol::messages::OffsetCommitRequest;
    use mainstem_protocol::messages::offset_commit::{
        OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    };
    let further_log_dirs = vec!["/b".into()];
    let config =
        NodeConfig { further_log_dirs, offsets_topic_partitions: 2, ..NodeConfig::default() };
    let mut script = crate::driver::script::Script::new(World::with_config(1, config));
    assert_eq!(script.run("topic t 2"), "  t NONE\n");
    let mut world = script.world;
    let partition = OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let topic = OffsetCommitRequestTopic {
        name: "t".to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    let commit = |world: &mut World, group: &str| {
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic.clone()],
            ..Default::default()
        };
        world.call(1, 8, &request).topics[0].partitions[0].error_code.name()
    };
    let found = mainstem_protocol::messages::FindCoordinatorRequest {
        coordinator_keys: vec!["a".to_owned()],
        ..Default::default()
    };
    world.call(1, 4, &found);
    // "a" hashes to 97 and "b" to 98: partitions 1 and 0, in /b and in /data.
    assert_eq!(commit(&mut world, "a"), "NONE");
    assert_eq!(commit(&mut world, "b"), "NONE");
    world.disk.set_fault(Path::new("/b"), mainstem_platform::simulated::Fault::Broken);
    assert_eq!(commit(&mut world, "a"), "NOT_COORDINATOR");
    assert_eq!(commit(&mut world, "a"), "NOT_COORDINATOR");
    assert_eq!(commit(&mut world, "b"), "NONE");
    let answer = world.call(1, 4, &found);
    assert_eq!(answer.coordinators[0].error_code.name(), "COORDINATOR_NOT_AVAILABLE");
    assert!(world.halted.is_none());
}

#[test]
fn a_corrupt_partition_is_offline_alone() {
    check(
        r"
topic t 4
  t NONE
produce t-0 a
  base=0
produce t-2 b
  base=0
# A clean start trusts what was closed and scans nothing.
stop
corrupt /data/t-2/00000000000000000000.log at=65
start
offsets t-2 latest
  NONE offset=1 timestamp=-1
# After a kill it is read, and was durable before it was damaged.
kill
fetch t-0@0 t-2@0
  t-0 hw=1 [0:a]
  t-2 KAFKA_STORAGE_ERROR
leaders t
  0 leader=1 NONE offline=[]
  1 leader=1 NONE offline=[]
  2 leader=-1 KAFKA_STORAGE_ERROR offline=[1]
  3 leader=1 NONE offline=[]
dirs
  /data t-0
  /b t-1 t-3
produce t-0 c
  base=1
halted
  false
",
    );
}

#[test]
fn a_partition_moves_while_it_is_written_to() {
    check(
        r"
topic t 2
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a b as=A
  base=0
hold-copies
move t-0 /b
  NONE
dirs
  /data t-0
  /b t-0*lag=2 t-1
# Asking again changes nothing.
move t-0 /b
  NONE
produce t-0 c as=A
  base=2
release-copies
dirs
  /data
  /b t-0 t-1
fetch t-0@0
  t-0 hw=3 [0:a 1:b 2:c]
# Its producers are known as before.
produce t-0 c as=A seq=2
  base=2
produce t-0 d as=A
  base=3
kill
dirs
  /data
  /b t-0 t-1
fetch t-0@0
  t-0 hw=4 [0:a 1:b 2:c 3:d]
move t-0 /data
  NONE
crash seed=8
dirs
  /data t-0
  /b t-1
fetch t-0@0
  t-0 hw=4 [0:a 1:b 2:c 3:d]
",
    );
}

#[test]
fn moves_that_cannot_be_are_refused() {
    check(
        r"
topic t 2
  t NONE
move t-0 /nowhere
  LOG_DIR_NOT_FOUND
move x-0 /b
  UNKNOWN_TOPIC_OR_PARTITION
move t-7 /b
  UNKNOWN_TOPIC_OR_PARTITION
# Where it is already.
move t-0 /data
  NONE
# A move is taken back by asking for the old place.
hold-copies
move t-0 /b
  NONE
move t-0 /data
  NONE
release-copies
dirs
  /data t-0
  /b t-1
produce t-1 a
  base=0
break /b
produce t-1 b
  KAFKA_STORAGE_ERROR
move t-0 /b
  KAFKA_STORAGE_ERROR
move t-1 /data
  KAFKA_STORAGE_ERROR
",
    );
}

#[test]
fn a_move_to_a_disk_that_fails_leaves_the_partition_where_it_was() {
    check(
        r"
topic t 2
  t NONE
produce t-0 a
  base=0
hold-copies
move t-0 /b
  NONE
break /b
release-copies
dirs
  /data t-0
  /b KAFKA_STORAGE_ERROR
produce t-0 b
  base=1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
",
    );
}

#[test]
fn a_waiting_produce_is_answered_after_the_move() {
    check(
        r"
topic t 2
  t NONE
hold
produce t-0 a on=3
  no answer
move t-0 /b
  NONE
answer on=3
  base=0
release
produce t-0 b
  base=1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
",
    );
}

/// Power cuts at every sync of a move: afterwards the partition is in one place, with all that was
/// acknowledged.
#[test]
fn a_move_survives_a_power_cut_at_any_moment() {
    let topic = AlterReplicaLogDirTopic { name: "t".to_owned(), partitions: vec![0] };
    let dir = AlterReplicaLogDir { path: "/b".to_owned(), topics: vec![topic] };
    let request = AlterReplicaLogDirsRequest { dirs: vec![dir] };
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for cut in 0..24 {
        for seed in 0..6 {
            let mut script = crate::driver::script::Script::new(world(1, &["/b"]));
            script.run("topic t 1\nproduce t-0 a b\nproduce t-0 c");
            script.world.disk.fail_sync_after(cut);
            script.world.send(1, 2, &request);
            script.world.crash(seed * 100 + cut);
            let out = script.run("fetch t-0@0\nproduce t-0 d\nkill\nfetch t-0@0");
            let expected = "  t-0 hw=3 [0:a 1:b 2:c]\n  base=3\n  t-0 hw=4 [0:a 1:b 2:c 3:d]\n";
            assert_eq!(out, expected, "cut {cut} seed {seed}");
            let disk = &script.world.disk;
            let mut folders = Vec::new();
            for dir in ["/data", "/b"] {
                for entry in disk.list(Path::new(dir)).expect("list") {
                    if entry.name == "t-0" {
                        folders.push(dir);
                    } else if entry.name.ends_with("-stray") {
                        *ends.entry("stood twice").or_default() += 1;
                    } else {
                        assert!(!entry.name.starts_with("t-0"), "{} is left", entry.name);
                    }
                }
            }
            assert_eq!(folders.len(), 1, "cut {cut} seed {seed}: {folders:?}");
            *ends.entry(folders[0]).or_default() += 1;
        }
    }
    // Every end was met: not moved, moved, and cut short between the two renames.
    assert_eq!(ends.keys().copied().collect::<Vec<_>>(), ["/b", "/data", "stood twice"]);
}

#[test]
fn directories_that_are_not_right_are_named() {
    // A directory that was there before is missing, or something else is mounted in its place.
    let mut first = world(1, &["/b"]);
    first.stop();
    first.config.further_log_dirs.clear();
    let error = first.open().expect_err("missing").to_string();
    assert!(error.starts_with("log directory /b ("), "{error}");
    assert!(error.contains("is missing"), "{error}");
    first.config.further_log_dirs = vec!["/empty".into()];
    let error = first.open().expect_err("empty").to_string();
    assert!(error.starts_with("log directory /b ("), "{error}");
    // It may be mounted elsewhere, and a new one may come.
    first.disk.rename(Path::new("/b"), Path::new("/c")).expect("rename");
    first.config.further_log_dirs = vec!["/d".into(), "/c".into()];
    first.open().expect("the same directory under another path");

    // One of another cluster.
    let disk = std::sync::Arc::clone(&first.disk);
    let mut other = world(1, &["/b"]);
    let foreign = other.disk.contents();
    let (_, bytes) = foreign
        .iter()
        .find(|(path, _)| path == Path::new("/b/meta.properties"))
        .expect("it has an identity");
    let file = disk
        .open(Path::new("/d/meta.properties"), mainstem_platform::OpenMode::CreateOrTruncate)
        .expect("open");
    file.write_at(
        String::from_utf8_lossy(bytes).replace("cluster.id=", "cluster.id=x").as_bytes(),
        0,
    )
    .expect("write");
    let error = first.open().expect_err("foreign").to_string();
    assert!(error.starts_with("/d/meta.properties: belongs to cluster x"), "{error}");

    // A copy of another one.
    let copied = disk.contents();
    let (_, bytes) =
        copied.iter().find(|(path, _)| path == Path::new("/c/meta.properties")).expect("identity");
    file.set_len(0).expect("cut");
    file.write_at(bytes, 0).expect("write");
    let error = first.open().expect_err("a copy").to_string();
    assert!(error.contains("/d and /c both are directory"), "{error}");

    // The first one, which holds the metadata, is lost.
    other.stop();
    other.config.log_dir = "/new".into();
    let error = other.open().expect_err("no metadata").to_string();
    assert!(error.starts_with("/b was used before"), "{error}");
}
