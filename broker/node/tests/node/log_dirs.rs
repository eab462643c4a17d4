//! Several log directories: where partitions go, and what happens when a disk fails or is full.

use crate::driver::World;
use crate::driver::script::check_in;
use mainstem_node::NodeConfig;
use mainstem_platform::Disk;
use std::path::Path;

pub(crate) fn world(shards: u16, further: &[&str]) -> World {
    let further_log_dirs = further.iter().map(Into::into).collect();
    World::with_config(shards, NodeConfig { further_log_dirs, ..NodeConfig::default() })
}

/// Runs a script on `/data` and `/b`, on one shard and on two.
pub(crate) fn check(script: &str) {
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
fn a_write_that_fails_takes_the_directory_offline() {
    check(
        r"
topic t 2
  t NONE
produce t-1 a
  base=0
break /b
produce t-1 b
  KAFKA_STORAGE_ERROR
mend /b
produce t-1 c
  KAFKA_STORAGE_ERROR
trim t-1 1
  KAFKA_STORAGE_ERROR low=-1
producers t-0 t-1
  t-0 NONE
  t-1 KAFKA_STORAGE_ERROR
epoch-end t-1 1
  KAFKA_STORAGE_ERROR epoch=-1 end=-1
dirs
  /data t-0
  /b KAFKA_STORAGE_ERROR
kill
fetch t-1@0
  t-1 hw=1 [0:a]
",
    );
}

#[test]
fn a_full_directory_refuses_appends_and_stays_online() {
    check(
        r"
topic t 2
  t NONE
produce t-1 a
  base=0
fill /b
produce t-1 b
  KAFKA_STORAGE_ERROR
fetch t-1@0
  t-1 hw=1 [0:a]
produce t-0 c
  base=0
leaders t
  0 leader=1 NONE offline=[]
  1 leader=1 NONE offline=[]
dirs
  /data t-0
  /b t-1
# A move there comes to nothing, and harms nobody.
move t-0 /b
  NONE
dirs
  /data t-0
  /b t-1
produce t-0 d
  base=1
# A move away makes room.
move t-1 /data
  NONE
dirs
  /data t-0 t-1
  /b
produce t-1 b
  base=1
kill
fetch t-0@0 t-1@0
  t-0 hw=2 [0:c 1:d]
  t-1 hw=2 [0:a 1:b]
",
    );
}

#[test]
fn records_are_taken_again_when_there_is_room() {
    check(
        r"
topic t 2
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a as=A
  base=0
fill /data
produce t-0 b as=A
  KAFKA_STORAGE_ERROR
topic u 1
  u KAFKA_STORAGE_ERROR
fetch t-0@0
  t-0 hw=1 [0:a]
# The other directory has room.
produce t-1 c
  base=0
halted
  false
mend /data
produce t-0 b as=A seq=1
  base=1
topic u 1
  u NONE
crash seed=6
fetch t-0@0 t-1@0
  t-0 hw=2 [0:a 1:b]
  t-1 hw=1 [0:c]
# Only a start needs room.
stop
fill /data
start
  write meta.properties of /data: no storage space
mend /data
start
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
",
    );
}

#[test]
fn a_partition_without_room_comes_online_when_there_is_some() {
    check(
        r"
fill /b
topic t 2
  t NONE
produce t-0 a
  base=0
produce t-1 b
  KAFKA_STORAGE_ERROR
leaders t
  0 leader=1 NONE offline=[]
  1 leader=-1 KAFKA_STORAGE_ERROR offline=[1]
advance 10000
produce t-1 b
  KAFKA_STORAGE_ERROR
mend /b
advance 10000
leaders t
  0 leader=1 NONE offline=[]
  1 leader=1 NONE offline=[]
produce t-1 b
  base=0
crash seed=3
fetch t-0@0 t-1@0
  t-0 hw=1 [0:a]
  t-1 hw=1 [0:b]
# A directory that failed is not tried again.
break /b
produce t-1 d
  KAFKA_STORAGE_ERROR
mend /b
advance 20000
produce t-1 d
  KAFKA_STORAGE_ERROR
",
    );
}

#[test]
fn a_broker_starts_without_a_directory_that_does_not_work() {
    check(
        r"
topic t 2
  t NONE
produce t-0 a
  base=0
produce t-1 b
  base=0
break /b
# Twice, so that it is not forgotten by the first start.
kill
restart shards=2
leaders t
  0 leader=1 NONE offline=[]
  1 leader=-1 KAFKA_STORAGE_ERROR offline=[1]
produce t-1 c
  KAFKA_STORAGE_ERROR
produce t-0 d
  base=1
topic u 2
  u NONE
dirs
  /data t-0 u-0 u-1
  /b KAFKA_STORAGE_ERROR
mend /b
kill
fetch t-0@0 t-1@0
  t-0 hw=2 [0:a 1:d]
  t-1 hw=1 [0:b]
dirs
  /data t-0 u-0 u-1
  /b t-1
",
    );
    // A new one must work.
    let mut world = world(1, &["/b"]);
    world.stop();
    world.config.further_log_dirs.push("/c".into());
    world.disk.set_fault(Path::new("/c"), mainstem_platform::simulated::Fault::Broken);
    let error = world.open().expect_err("a new directory").to_string();
    assert_eq!(error, "create /c: simulated disk failure");
}

#[test]
fn without_the_directory_of_the_metadata_there_is_no_broker() {
    let script = r"
topic t 2
  t NONE
break /data
produce t-0 a
  ANSWER
halted
  true
mend /data
kill
offsets t-0 latest
  NONE offset=0 timestamp=-1
";
    // The client's shard halts, or is told of the refusal by the one that does.
    for (shards, answer) in [(1, "no answer"), (2, "KAFKA_STORAGE_ERROR")] {
        check_in(world(shards, &["/b"]), &script.replace("ANSWER", answer));
    }
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
fn a_compaction_of_a_directory_that_fails_is_dropped() {
    let script = r"
topic a 1
  a NONE
topic c 1 cleanup.policy=compact segment.ms=1 min.cleanable.dirty.ratio=0.1
  c NONE
produce c-0 one key=k at=1700000000000
  base=0
produce c-0 two key=k at=1700000000010
  base=1
produce c-0 three key=k at=1700000000020
  base=2
hold-compactions
advance 15000
break /b
WHEN
release-compactions
dirs
  /data a-0
  /b KAFKA_STORAGE_ERROR
halted
  false
produce a-0 x
  base=0
mend /b
kill
fetch c-0@0
  c-0 hw=3 [0:one 1:two 2:three]
";
    // The directory fails by an append while the task is under way, or by the task itself.
    check(&script.replace("WHEN\n", "produce c-0 four key=k\n  KAFKA_STORAGE_ERROR\n"));
    check(&script.replace("WHEN\n", ""));
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

/// The first directory gets its name last, so a first start that is cut short leaves the others with
/// theirs, and the next start makes all of them new.
#[test]
fn a_first_start_that_was_cut_short_is_made_again() {
    let mut world = world(1, &["/b"]);
    world.disk.remove_dir_all(Path::new("/data")).expect("it was never made durable");
    world.open().expect("nothing was used before");
}
