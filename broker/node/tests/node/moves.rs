//! Partitions that move to another log directory, while everything else goes on or goes wrong.

use crate::driver::script::Script;
use crate::log_dirs::{check, world};
use mainstem_platform::Disk;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use std::collections::BTreeMap;
use std::path::Path;

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
fn a_move_waits_for_the_sync_under_way() {
    check(
        r"
topic t 2
  t NONE
hold
produce t-0 a on=3
  no answer
move t-0 /b
  NONE
dirs
  /data t-0
  /b t-0*lag=0 t-1
answer on=3
  no answer
release
answer on=3
  base=0
dirs
  /data
  /b t-0 t-1
produce t-0 b
  base=1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
",
    );
    // When the sync fails, all that it was to make durable is refused.
    check(
        r"
topic t 2
  t NONE
hold
produce t-1 a on=3
  no answer
move t-1 /data
  NONE
break /b
release
answer on=3
  KAFKA_STORAGE_ERROR
dirs
  /data t-0
  /b KAFKA_STORAGE_ERROR
",
    );
}

#[test]
fn a_restart_in_the_middle_of_a_move_forgets_the_move() {
    for (how, seed) in [("kill", 0), ("restart", 0), ("crash", 1), ("crash", 2)] {
        let script = r"
topic t 2
  t NONE
produce t-0 a b
  base=0
hold-copies
move t-0 /b
  NONE
produce t-0 c
  base=2
HOW seed=SEED
release-copies
dirs
  /data t-0
  /b t-1
fetch t-0@0
  t-0 hw=3 [0:a 1:b 2:c]
produce t-0 d
  base=3
# What was copied is gone; it can be asked for again.
move t-0 /b
  NONE
HOW seed=SEED
dirs
  /data
  /b t-0 t-1
fetch t-0@0
  t-0 hw=4 [0:a 1:b 2:c 3:d]
";
        for shards in [1, 2] {
            let script = script.replace("HOW", how).replace("SEED", &seed.to_string());
            let mut run = Script::new(world(shards, &["/b"]));
            let commands = |text: &str| {
                let lines = text.lines().filter(|line| !line.starts_with([' ', '#']));
                lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
            };
            let expected: String = script
                .lines()
                .filter(|line| line.starts_with(' '))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(run.run(&commands(&script)), expected, "{how} {seed}");
            for entry in run.world.disk.list(Path::new("/b")).expect("list") {
                assert!(!entry.name.ends_with("-future"), "{} is left", entry.name);
            }
        }
    }
}

#[test]
fn a_partition_that_moves_loses_nothing_to_retention() {
    check(
        r"
topic t 2 retention.ms=1000 segment.ms=1
  t NONE
produce t-0 a at=1700000000000
  base=0
produce t-0 b at=1700000000100
  base=1
hold-copies
move t-0 /b
  NONE
advance 400000
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
release-copies
dirs
  /data
  /b t-0 t-1
fetch t-0@0
  t-0 hw=2 [0:a 1:b]
advance 400000
offsets t-0 earliest
  NONE offset=2 timestamp=-1
",
    );
}

#[test]
fn a_move_begins_when_the_compaction_under_way_has_ended() {
    check(
        r"
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
move c-0 /b
  NONE
dirs
  /data c-0
  /b c-0*lag=3
fetch c-0@0
  c-0 hw=3 [0:one 1:two 2:three]
release-compactions
dirs
  /data
  /b c-0
fetch c-0@0
  c-0 hw=3 [1:two 2:three]
produce c-0 four key=k at=1700000000030
  base=3
# What was to be removed in the old place is gone with it, and the new one is compacted, too.
advance 60000
advance 15000
fetch c-0@0
  c-0 hw=4 [2:three 3:four]
kill
fetch c-0@0
  c-0 hw=4 [2:three 3:four]
",
    );
}

#[test]
fn a_partition_that_moves_is_not_compacted() {
    check(
        r"
topic c 1 cleanup.policy=compact segment.ms=1 min.cleanable.dirty.ratio=0.1
  c NONE
produce c-0 one key=k at=1700000000000
  base=0
produce c-0 two key=k at=1700000000010
  base=1
produce c-0 three key=k at=1700000000020
  base=2
hold-copies
move c-0 /b
  NONE
advance 15000
advance 15000
fetch c-0@0
  c-0 hw=3 [0:one 1:two 2:three]
release-copies
advance 15000
advance 15000
fetch c-0@0
  c-0 hw=3 [1:two 2:three]
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
            let mut script = Script::new(world(1, &["/b"]));
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
