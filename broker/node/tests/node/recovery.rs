//! Stops, kills, power cuts, and disks that fail.

use crate::driver::World;
use crate::driver::script::{Script, check, check_in};
use mainstem_node::NodeConfig;
use mainstem_platform::{Disk, Job, Workers};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

#[test]
fn what_was_acknowledged_survives_everything() {
    check(
        r"
topic t 2
  t NONE
produce t-0 a
  base=0
restart shards=2
fetch t-0@0
  t-0 hw=1 [0:a]
produce t-0 b
  base=1
produce t-1 c
  base=0
kill
fetch t-0@0 t-1@0
  t-0 hw=2 [0:a 1:b]
  t-1 hw=1 [0:c]
produce t-0 d
  base=2
crash seed=4
fetch t-0@0 t-1@0
  t-0 hw=3 [0:a 1:b 2:d]
  t-1 hw=1 [0:c]
restart shards=1
fetch t-0@0 t-1@0
  t-0 hw=3 [0:a 1:b 2:d]
  t-1 hw=1 [0:c]
metadata u auto
  u NONE partitions=1
crash seed=5
metadata u
  u NONE partitions=1
",
    );
}

#[test]
fn an_idempotent_producer_is_known_after_a_kill() {
    check(
        r"
topic t 1
  t NONE
init A
  NONE id=0 epoch=0
produce t-0 a b as=A
  base=0
produce t-0 c as=A
  base=2
# The same batches again are the same offsets, and nothing new.
produce t-0 a b as=A seq=0
  base=0
kill
produce t-0 c as=A seq=2
  base=2
produce t-0 x as=A seq=7
  OUT_OF_ORDER_SEQUENCE_NUMBER
produce t-0 d as=A seq=3
  base=3
fetch t-0@0
  t-0 hw=4 [0:a 1:b 2:c 3:d]
# Producer ids are never given out twice.
init B
  NONE id=1000 epoch=0
",
    );
}

#[test]
fn a_failed_sync_halts_the_broker_and_answers_nobody() {
    let world = World::new(1);
    let disk = Arc::clone(&world.disk);
    let script = r"
topic t 1
  t NONE
produce t-0 a
  base=0
hold
produce t-0 b
  no answer
";
    let _ = disk;
    check_in(world, script);

    let mut world = World::new(1);
    let topic = mainstem_protocol::messages::create_topics::CreatableTopic {
        name: "t".to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = mainstem_protocol::messages::CreateTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    };
    world.disk.fail_sync_after(0);
    world.send(1, 7, &request);
    assert!(world.halted.is_some(), "a failed sync takes the broker offline");
    assert!(world.take_frame(1).is_none(), "nothing is promised after it");
}

#[test]
fn a_stop_answers_what_is_under_way() {
    for shards in [1, 2] {
        let mut script = Script::new(World::new(shards));
        script.run("topic t 2\nproduce t-0 a");
        // A long poll, a produce whose sync is under way, and one whose turn does not come any more.
        let out = script.run("fetch t-1@0 wait=60000 on=4\nhold\nproduce t-0 b on=1\nstop");
        assert_eq!(out, "  waits\n  no answer\n");
        assert_eq!(script.run("fetched on=4"), "  t-1 hw=0 []\n");
        assert_eq!(script.world.stopped, 0, "the produce is not answered");
        assert_eq!(script.run("produce t-1 c on=2"), "  no answer\n");
        assert_eq!(script.run("release\nanswer on=1"), "  base=1\n");
        assert_eq!(script.world.stopped, usize::from(shards));
        assert_eq!(script.run("start\nfetch t-0@0 t-1@0"), "  t-0 hw=2 [0:a 1:b]\n  t-1 hw=0 []\n");
    }
}

#[test]
fn a_stop_ends_although_something_hangs() {
    let mut script = Script::new(World::new(2));
    let out = script.run("topic t 2\nproduce t-0 a\nhold\nproduce t-0 b\nstop\nadvance 9000");
    assert!(out.ends_with("  no answer\n"), "{out}");
    assert_eq!(script.world.stopped, 0);
    script.run("advance 2000");
    assert_eq!(script.world.stopped, 2);
}

#[test]
fn a_clean_stop_spares_the_next_start_the_reading() {
    let mut script = Script::new(World::new(1));
    let value = "v".repeat(100_000);
    script.run("topic t 1 segment.bytes=1048576");
    for _ in 0..28 {
        script.run(&format!("produce t-0 {value}"));
    }
    let mut read_by = |command: &str| {
        let before = script.world.disk.bytes_read();
        script.run(command);
        let read = script.world.disk.bytes_read() - before;
        assert_eq!(script.ask("offsets t-0 latest"), "NONE offset=28 timestamp=-1");
        read
    };
    let (clean, killed, again) = (read_by("restart"), read_by("kill"), read_by("restart"));
    // Of two closed segments and one with eight records, a kill has the last one read whole. A clean
    // stop lets the next start look at heads of batches only.
    assert!(800_000 < killed, "{killed}");
    assert!(clean < killed / 2 && again < killed / 2, "{clean} {again} {killed}");
    // The proof of a clean stop is good for one start.
    assert!(800_000 < read_by("kill"));
}

/// Carries each job out on a thread of its own, and begins none before all are there.
#[derive(Debug, Default)]
struct SideBySide {
    most: AtomicUsize,
}

impl Workers for SideBySide {
    fn run_all(&self, jobs: Vec<Job<'_>>) {
        self.most.fetch_max(jobs.len(), Ordering::Relaxed);
        let barrier = Barrier::new(jobs.len());
        std::thread::scope(|scope| {
            for job in jobs {
                scope.spawn(|| {
                    barrier.wait();
                    job();
                });
            }
        });
    }
}

#[test]
fn logs_may_be_opened_side_by_side() {
    let workers = Arc::new(SideBySide::default());
    let further_log_dirs = vec!["/b".into()];
    let config = NodeConfig { further_log_dirs, ..NodeConfig::default() };
    let mut world = World::with_config(1, config);
    world.workers = Arc::clone(&workers) as Arc<dyn Workers>;
    let mut script = Script::new(world);
    script.run("topic t 8");
    for partition in 0..8 {
        script.run(&format!("produce t-{partition} a b"));
    }
    for how in ["kill", "crash seed=3", "restart"] {
        workers.most.store(0, Ordering::Relaxed);
        script.run(how);
        assert_eq!(workers.most.load(Ordering::Relaxed), 8, "all logs are opened at once");
        for partition in 0..8 {
            let out = script.ask(&format!("fetch t-{partition}@0"));
            assert_eq!(out, format!("t-{partition} hw=2 [0:a 1:b]"));
        }
    }
}

#[test]
fn a_folder_that_nothing_explains_is_put_aside() {
    let mut world = World::new(1);
    world.disk.create_dir_all(Path::new("/data/ghost-0")).expect("make a folder");
    world.restart(1);
    let names: Vec<String> =
        world.disk.list(Path::new("/data")).expect("list").into_iter().map(|e| e.name).collect();
    let stray = names.iter().any(|name| name.starts_with("ghost-0.") && name.ends_with("-stray"));
    assert!(stray, "{names:?}");
    assert!(!names.contains(&"ghost-0".to_owned()));
}

#[test]
fn a_directory_of_another_broker_is_not_touched() {
    let mut world = World::new(1);
    world.config.node_id = mainstem_protocol::BrokerId(2);
    let error = world.open().expect_err("another node.id").to_string();
    assert!(error.contains("node.id 1"), "{error}");
    world.config = NodeConfig { log_dir: "/data".into(), ..NodeConfig::default() };
    world.config.cluster_id = Some("other".to_owned());
    let error = world.open().expect_err("another cluster").to_string();
    assert!(error.contains("belongs to cluster"), "{error}");
    world.config.cluster_id = None;
    world.open().expect("the right one opens");
}

#[test]
fn a_directory_without_its_metadata_is_not_opened() {
    let mut world = World::new(1);
    world.disk.remove_dir_all(Path::new("/data/__cluster_metadata-0")).expect("remove");
    world.disk.create_dir_all(Path::new("/data/t-0")).expect("make a folder");
    let error = world.open().expect_err("lost metadata").to_string();
    assert!(error.contains("__cluster_metadata-0"), "{error}");
    assert!(world.disk.exists(Path::new("/data/t-0")).expect("look"));
}
