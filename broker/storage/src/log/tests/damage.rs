//! Damage is told from a torn tail, and files that can be rebuilt are.

use super::*;
use crate::StorageError;
use mainstem_platform::{Disk as _, OpenMode};
use std::path::Path;

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// Eight records in segments of two, all durable, the process killed.
fn prepared() -> Bench {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..small() });
    for value in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        bench.put(&[value]);
    }
    bench.commit();
    bench.commit();
    bench
}

#[test]
fn a_torn_tail_is_cut_off() {
    let mut bench = prepared();
    bench.put(&["torn"]);
    bench.put(&["lost"]);
    bench.disk.kill_process();
    bench.disk.flip(&path("00000000000000000008.log"), 65, 0xff).unwrap();
    let recovery = bench.reopen(Shutdown::Unclean);
    assert_eq!(recovery.truncated_bytes, 2 * 72);
    assert_eq!(bench.records(Bound::LogEnd), "0=a 1=b 2=c 3=d 4=e 5=f 6=g 7=h");
    assert_eq!(bench.put(&["again"]).base_offset, offset(8));
}

/// An append to a full disk leaves a part of itself, the log goes on in a new segment, and the power
/// fails before the cut is durable. (Simulator, seed 6243.)
#[test]
fn what_a_failed_append_has_left_before_the_next_segment_is_cut_off() {
    let mut bench = prepared();
    bench.put(&["next"]);
    bench.disk.kill_process();
    let closed = bench.disk.open(&path("00000000000000000006.log"), OpenMode::Write).unwrap();
    closed.write_at(b"torn", closed.len().unwrap()).unwrap();
    let recovery = bench.reopen(Shutdown::Unclean);
    assert_eq!(recovery.truncated_bytes, 4);
    assert_eq!(bench.records(Bound::LogEnd), "0=a 1=b 2=c 3=d 4=e 5=f 6=g 7=h 8=next");
    assert_eq!(closed.len().unwrap(), 2 * 69);
}

#[test]
fn damage_before_the_recovery_point_is_an_error_and_cuts_nothing() {
    for shutdown in [Shutdown::Unclean, Shutdown::Clean] {
        let mut bench = prepared();
        bench.log.close().unwrap();
        bench.disk.kill_process();
        let log = path("00000000000000000006.log");
        // The frame of the second batch, so that a walk over heads stumbles as well.
        bench.disk.flip(&log, 69 + 16, 0xff).unwrap();
        let before = bench.disk.contents();
        let error = open(&bench.disk, &bench.config, shutdown, bench.now).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        let size = |contents: &[(PathBuf, Vec<u8>)]| {
            contents.iter().find(|(p, _)| *p == log).map(|(_, bytes)| bytes.clone())
        };
        assert_eq!(size(&bench.disk.contents()), size(&before));
    }
}

#[test]
fn damage_in_a_trusted_segment_is_met_by_the_reader() {
    let mut bench = prepared();
    bench.disk.kill_process();
    bench.disk.flip(&path("00000000000000000000.log"), 69 + 16, 0xff).unwrap();
    bench.reopen(Shutdown::Unclean);
    let error = bench.log.read(offset(1), 10, Bound::LogEnd, true).unwrap_err();
    assert!(matches!(error, crate::ReadError::Corrupt { .. }), "{error}");
}

#[test]
fn lost_indexes_are_rebuilt() {
    let mut bench = prepared();
    let before = bench.records(Bound::LogEnd);
    bench.log.close().unwrap();
    bench.disk.kill_process();
    for name in ["00000000000000000002.index", "00000000000000000004.timeindex"] {
        bench.disk.remove_file(&path(name)).unwrap();
    }
    let recovery = bench.reopen(Shutdown::Clean);
    assert!(recovery.segments_rebuilt >= 2);
    assert_eq!(bench.records(Bound::LogEnd), before);
    assert!(bench.disk.exists(&path("00000000000000000002.index")).unwrap());
}

#[test]
fn lost_or_damaged_snapshots_epochs_and_checkpoints_are_done_without() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..small() });
    for sequence in 0..9 {
        bench.append(Batch::of(1, sequence).build(0, &[(None, Some("v"))])).unwrap();
    }
    bench.append(Batch::transactional(2, 0).build(0, &[(None, Some("v"))])).unwrap();
    bench.log.close().unwrap();
    let expected = bench.log.producers();
    for victim in ["snapshot", "leader-epoch-checkpoint", "recovery-checkpoint"] {
        for gone in [true, false] {
            bench.disk.kill_process();
            for (file, bytes) in bench.disk.contents() {
                if !file.to_string_lossy().ends_with(victim) {
                    continue;
                }
                if gone {
                    bench.disk.remove_file(&file).unwrap();
                } else {
                    let file = bench.disk.open(&file, OpenMode::Write).unwrap();
                    file.set_len(bytes.len() as u64 / 2).unwrap();
                }
            }
            bench.reopen(Shutdown::Unclean);
            let found = bench.log.producers();
            assert_eq!(found.len(), expected.len(), "{victim}");
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.last_sequence, expected.last_sequence);
                assert_eq!(found.transaction_start, expected.transaction_start);
            }
            assert_eq!(bench.log.latest_epoch(), Some(LeaderEpoch(0)), "{victim}");
            assert_eq!(bench.log.log_end_offset(), offset(10));
            assert_eq!(bench.log.last_stable_offset(), offset(9));
            bench.log.close().unwrap();
        }
    }
}

#[test]
fn half_finished_work_is_finished_or_forgotten() {
    let mut bench = prepared();
    let before = bench.records(Bound::LogEnd);
    bench.disk.kill_process();
    let leftovers = [
        "00000000000000000000.log.deleted",
        "00000000000000000002.log.cleaned",
        "00000000000000000002.index.swap",
        "00000000000000000003.txnindex",
        "leader-epoch-checkpoint.tmp",
        "a stranger",
    ];
    for name in leftovers {
        bench.disk.open(&path(name), OpenMode::CreateNew).unwrap();
    }
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.records(Bound::LogEnd), before);
    for name in &leftovers[..5] {
        assert!(!bench.disk.exists(&path(name)).unwrap(), "{name}");
    }
    assert!(bench.disk.exists(&path("a stranger")).unwrap());
}
