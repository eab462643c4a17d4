//! What a crash takes and what it leaves, case by case. Random cases are in `chaos`.

use super::*;
use mainstem_platform::Disk as _;
use std::path::Path;

#[test]
fn a_committed_record_survives_every_crash() {
    for seed in 0..100 {
        let mut bench = Bench::new(small());
        bench.put(&["kept"]);
        bench.commit();
        bench.put(&["maybe"]);
        bench.disk.crash(seed);
        let recovery = bench.reopen(Shutdown::Unclean);
        let records = bench.records(Bound::HighWatermark);
        assert!(["0=kept", "0=kept 1=maybe"].contains(&&*records), "seed {seed}: {records}");
        assert!(recovery.scanned_bytes > 0);
        assert_eq!(bench.log.high_watermark(), bench.log.log_end_offset());
        // What was found is durable now: a second crash takes nothing.
        bench.disk.crash(seed + 1000);
        bench.reopen(Shutdown::Unclean);
        assert_eq!(bench.records(Bound::HighWatermark), records, "seed {seed}");
    }
}

#[test]
fn one_sync_covers_a_pass_of_appends() {
    let mut bench = Bench::new(LogConfig::default());
    bench.put(&["first makes names durable"]);
    bench.commit();
    assert!(bench.log.unsynced().is_none());
    bench.put(&["a"]);
    bench.put(&["b"]);
    let before = bench.disk.syncs();
    bench.commit();
    assert_eq!(bench.disk.syncs(), before + 1);
    assert_eq!(bench.log.synced_offset(), offset(3));
}

#[test]
fn what_is_appended_during_a_sync_is_not_taken_for_synced() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..small() });
    bench.put(&["a"]);
    let first = bench.log.unsynced().unwrap();
    for value in ["b", "c", "d"] {
        bench.put(&[value]); // rolls meanwhile
    }
    first.run(&bench.disk).unwrap();
    bench.log.synced(first.receipt).unwrap();
    assert_eq!(bench.log.synced_offset(), offset(1));
    let second = bench.log.unsynced().unwrap();
    assert_eq!(second.receipt.up_to, offset(4));
    assert!(second.files.len() > 3, "the closed segment with its indexes and snapshot");
    second.run(&bench.disk).unwrap();
    bench.log.synced(second.receipt).unwrap();
    bench.disk.crash(9);
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.records(Bound::LogEnd), "0=a 1=b 2=c 3=d");
}

#[test]
fn logs_acknowledged_from_the_page_cache_sync_closed_segments_only() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..small() });
    bench.put(&["a"]);
    let names = bench.log.unsynced_closed().unwrap();
    names.run(&bench.disk).unwrap();
    bench.log.synced(names.receipt).unwrap();
    assert!(bench.log.unsynced_closed().is_none());
    for value in ["b", "c", "d", "e"] {
        bench.put(&[value]);
    }
    let closed = bench.log.unsynced_closed().unwrap();
    assert_eq!(closed.receipt.up_to, offset(4));
    closed.run(&bench.disk).unwrap();
    bench.log.synced(closed.receipt).unwrap();
    bench.disk.crash(0);
    bench.reopen(Shutdown::Unclean);
    assert!(offset(4) <= bench.log.log_end_offset());
}

#[test]
fn only_segments_past_the_recovery_point_are_read() {
    let mut bench = Bench::new(small());
    for number in 0..100 {
        bench.put(&[&format!("value {number}")]);
    }
    bench.commit();
    bench.commit(); // makes the checkpoint itself durable
    let before = bench.records(Bound::LogEnd);
    assert!(bench.log.segment_count() > 5);
    bench.disk.crash(5);
    let recovery = bench.reopen(Shutdown::Unclean);
    assert_eq!(recovery.segments_rebuilt, 1, "{recovery:?}");
    assert_eq!(recovery.truncated_bytes, 0);
    assert_eq!(bench.records(Bound::LogEnd), before);
}

#[test]
fn a_clean_end_needs_no_scan_and_forgets_no_retry() {
    let mut bench = Bench::new(small());
    for sequence in 0..30 {
        bench.append(Batch::of(1, sequence).build(0, &[(None, Some("v"))])).unwrap();
    }
    bench.log.close().unwrap();
    bench.disk.crash(8);
    let recovery = bench.reopen(Shutdown::Clean);
    assert_eq!(recovery, Recovery::default());
    for sequence in 25..30 {
        let again = bench.append(Batch::of(1, sequence).build(0, &[(None, Some("v"))])).unwrap();
        assert!(again.duplicate && again.base_offset == offset(i64::from(sequence)));
    }
    let old = bench.append(Batch::of(1, 24).build(0, &[(None, Some("v"))])).unwrap_err();
    assert!(matches!(old, AppendError::OutOfOrderSequence { .. }));
    let next = bench.append(Batch::of(1, 30).build(0, &[(None, Some("v"))])).unwrap();
    assert_eq!(next.base_offset, offset(30));
}

#[test]
fn the_state_of_a_producer_outlives_its_records() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..small() });
    for sequence in 0..10 {
        bench.append(Batch::of(1, sequence).build(0, &[(None, Some("v"))])).unwrap();
    }
    bench.commit();
    bench.log.delete_records_before(offset(10)).unwrap();
    for path in bench.log.apply_retention(bench.now).unwrap() {
        bench.disk.remove_file(&path).unwrap();
    }
    bench.commit();
    bench.log.close().unwrap();
    bench.reopen(Shutdown::Clean);
    assert_eq!(bench.log.log_start_offset(), offset(10));
    let next = bench.append(Batch::of(1, 10).build(0, &[(None, Some("v"))])).unwrap();
    assert_eq!(next.base_offset, offset(10));
}

#[test]
fn a_failed_sync_is_reported_and_loses_only_what_was_not_acknowledged() {
    let mut bench = Bench::new(LogConfig::default());
    bench.put(&["kept"]);
    bench.commit();
    bench.put(&["lost"]);
    bench.disk.fail_sync_after(0);
    let task = bench.log.unsynced().unwrap();
    assert!(task.run(&bench.disk).is_err());
    assert_eq!(bench.log.high_watermark(), offset(1));
    bench.disk.crash(2);
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.records(Bound::LogEnd), "0=kept");
}

#[test]
fn indexes_are_trimmed_at_a_roll_and_at_the_end() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 500, ..small() });
    for _ in 0..10 {
        bench.put(&["value"]);
    }
    bench.log.close().unwrap();
    let contents = bench.disk.contents();
    let len = |name: &str| {
        let path = Path::new(DIR).join(name);
        contents.iter().find(|(p, _)| *p == path).map(|(_, bytes)| bytes.len())
    };
    assert_eq!(len("00000000000000000000.log"), Some(6 * 73));
    // After 146 bytes an entry is due, so batches 2 and 4 have one.
    assert_eq!(len("00000000000000000000.index"), Some(2 * 8));
    assert_eq!(len("00000000000000000000.timeindex"), Some(12));
    assert_eq!(len("00000000000000000006.snapshot"), Some(10));
    assert_eq!(len("00000000000000000010.snapshot"), Some(10));
    let epochs = contents.iter().find(|(p, _)| p.ends_with("leader-epoch-checkpoint"));
    assert_eq!(epochs.unwrap().1, b"0\n1\n0 0\n");
}
