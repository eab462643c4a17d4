//! The metadata log is short, whatever happened to the cluster.

use crate::driver::World;
use crate::driver::script::{Script, check_in};
use mainstem_node::NodeConfig;
use mainstem_platform::Disk;
use std::path::Path;

fn world(shards: u16) -> World {
    // Every housekeeping writes a snapshot.
    World::with_config(shards, NodeConfig { metadata_snapshot_bytes: 1, ..NodeConfig::default() })
}

fn snapshots(world: &World) -> Vec<String> {
    let entries = world.disk.list(Path::new("/data/__cluster_metadata-0")).expect("list");
    let names = entries.into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".checkpoint")).collect()
}

#[test]
fn what_was_decided_survives_snapshots_and_power_cuts() {
    for (shards, seed) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        let script = r"
topic t 2 max.message.bytes=77777
  t NONE
topic gone 1
  gone NONE
produce t-1 a
  base=0
init A
  NONE id=0 epoch=0
delete gone
  NONE
alter brokers num.partitions=3
  NONE
alter broker 1 log.retention.ms=70000000
  NONE
alter group g consumer.session.timeout.ms=50000
  NONE
level group.version=0 down
  NONE results=0
advance 400000
topic u 1
  u NONE
crash seed=SEED
metadata t u gone
  t NONE partitions=2
  u NONE partitions=1
  gone UNKNOWN_TOPIC_OR_PARTITION partitions=0
fetch t-1@0
  t-1 hw=1 [0:a]
init B
  NONE id=1000 epoch=0
advance 400000
restart
advance 400000
kill
metadata t u gone
  t NONE partitions=2
  u NONE partitions=1
  gone UNKNOWN_TOPIC_OR_PARTITION partitions=0
init C
  NONE id=2000 epoch=0
describe brokers
  num.partitions=3
    brokers num.partitions=3
describe broker 1 log.retention.ms
  log.retention.ms=70000000
    broker log.retention.ms=70000000
    default log.retention.ms=604800000
describe group g consumer.session.timeout.ms
  consumer.session.timeout.ms=50000
    group consumer.session.timeout.ms=50000
    default group.consumer.session.timeout.ms=45000
metadata new auto
  new NONE partitions=3
";
        check_in(world(shards), &script.replace("SEED", &seed.to_string()));
    }
}

#[test]
fn one_snapshot_is_kept_and_a_damaged_one_is_refused() {
    let mut script = Script::new(world(1));
    script.run("topic t 3");
    let mut world = script.world;
    for _ in 0..5 {
        world.advance_ms(400_000);
        world.restart(1);
    }
    let names = snapshots(&world);
    assert_eq!(names.len(), 1, "{names:?}");
    world.stop();
    let path = Path::new("/data/__cluster_metadata-0").join(&names[0]);
    world.disk.flip(&path, 100, 1).expect("flip");
    let error = world.open().expect_err("the log before it is gone").to_string();
    assert!(error.contains("the newest whole snapshot"), "{error}");
}
