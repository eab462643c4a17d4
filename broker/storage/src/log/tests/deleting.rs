//! Retention by time and size, deletion on request.

use super::*;
use crate::config::CleanupPolicy;
use mainstem_platform::Disk as _;

/// Six segments of two records each, one second apart.
fn prepared(config: &LogConfig) -> Bench {
    let mut bench = Bench::new(LogConfig { segment_bytes: 150, ..config.clone() });
    for number in 0..12 {
        bench.now = at(1_000_000 + number * 1000);
        bench.put(&["x"]);
    }
    bench.commit();
    bench
}

/// Applies retention; the answer is the first offset left and how many files went.
fn retain(bench: &mut Bench, wall_ms: i64) -> (i64, usize) {
    let paths = bench.log.apply_retention(at(wall_ms)).unwrap();
    for path in &paths {
        assert!(path.to_string_lossy().ends_with(".deleted"));
        bench.disk.remove_file(path).unwrap();
    }
    (bench.log.log_start_offset().0, paths.len())
}

#[test]
fn segments_go_when_their_newest_record_is_too_old() {
    let mut bench = prepared(&LogConfig { retention_ms: Some(5000), ..small() });
    assert_eq!(retain(&mut bench, 1_005_000), (0, 0));
    // Records 0 and 1 are from second 0 and 1.
    assert_eq!(retain(&mut bench, 1_006_001).0, 2);
    assert_eq!(retain(&mut bench, 1_011_000).0, 6);
    let end = retain(&mut bench, 2_000_000).0;
    assert_eq!(end, 12, "the active segment goes as well");
    assert_eq!(bench.log.log_end_offset(), offset(12));
    bench.commit();
    bench.disk.crash(4);
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.put(&["next"]).base_offset, offset(12));
}

#[test]
fn segments_go_while_there_is_too_much() {
    let mut bench = prepared(&LogConfig { retention_bytes: Some(400), ..small() });
    assert_eq!(bench.log.size_bytes(), 12 * 69);
    assert_eq!(retain(&mut bench, 1_012_000).0, 6, "as many whole segments as are in excess");
    assert_eq!(bench.log.size_bytes(), 6 * 69);
}

#[test]
fn nothing_goes_before_it_is_acknowledged() {
    let mut bench =
        Bench::new(LogConfig { retention_bytes: Some(0), segment_bytes: 150, ..small() });
    for _ in 0..6 {
        bench.put(&["x"]);
    }
    assert_eq!(retain(&mut bench, 1_000_000), (0, 0));
    bench.acknowledge();
    assert_eq!(retain(&mut bench, 1_000_000).0, 6, "and then all of it");
}

#[test]
fn records_are_deleted_on_request() {
    let mut bench = prepared(&small());
    assert_eq!(bench.log.delete_records_before(offset(5)).unwrap(), offset(5));
    assert_eq!(bench.log.delete_records_before(offset(3)).unwrap(), offset(5), "never back");
    let before = bench.records(Bound::LogEnd);
    assert!(before.starts_with("5=x 6=x"));
    assert_eq!(retain(&mut bench, 1_012_000).0, 5);
    assert_eq!(bench.log.segment_count(), 4);
    bench.commit();
    for seed in 0..20 {
        bench.disk.crash(seed);
        bench.reopen(Shutdown::Unclean);
        assert_eq!(bench.records(Bound::LogEnd), before);
    }
    assert_eq!(bench.log.delete_records_before(offset(99)).unwrap(), offset(12));
    assert_eq!(bench.records(Bound::LogEnd), "");
}

#[test]
fn size_takes_the_active_segment_too() {
    let mut bench = prepared(&LogConfig { retention_bytes: Some(100), ..small() });
    // 138 bytes of the active segment are more than 38 bytes of excess.
    assert_eq!(retain(&mut bench, 1_012_000).0, 10);
    bench.config.retention_bytes = Some(0);
    bench.log.set_config(bench.config.clone());
    assert_eq!(retain(&mut bench, 1_012_000).0, 12);
    assert_eq!(bench.log.size_bytes(), 0);
    assert_eq!(retain(&mut bench, 9_012_000), (12, 0), "an empty segment stays");
}

#[test]
fn records_without_timestamps_go_by_the_time_of_the_append() {
    let config = LogConfig { retention_ms: Some(5000), segment_bytes: 150, ..small() };
    let mut bench = Bench::new(config);
    for number in 0..6 {
        bench.now = at(1_000_000 + number * 1000);
        bench.append(Batch::default().build(-1, &[(None, Some("x"))])).unwrap();
    }
    bench.commit();
    assert_eq!(retain(&mut bench, 1_006_000).0, 0);
    assert_eq!(retain(&mut bench, 1_006_001).0, 2);
}

#[test]
fn deletion_and_compaction_go_together() {
    let cleanup_policy = CleanupPolicy { delete: true, compact: true };
    let mut bench = Bench::new(LogConfig {
        cleanup_policy,
        segment_bytes: 300,
        retention_ms: Some(5000),
        min_cleanable_dirty_ratio: 0.01,
        ..small()
    });
    for number in 0..12 {
        bench.now = at(1_000_000 + number * 1000);
        bench.put_key(&format!("key {}", number % 5), Some(&number.to_string()));
    }
    bench.commit();
    bench.log.compaction_need(bench.now).unwrap().unwrap();
    bench.compact().unwrap();
    assert_eq!(bench.records(Bound::LogEnd), "3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=10 11=11");
    let task = bench.put_key("key 9", Some("x"));
    assert_eq!(task.base_offset, offset(12));
    assert!(retain(&mut bench, 1_013_500).0 > 5, "what is too old goes as well");
}

#[test]
fn nothing_is_deleted_under_a_compaction() {
    let cleanup_policy = CleanupPolicy { delete: true, compact: true };
    let mut bench = Bench::new(LogConfig {
        cleanup_policy,
        segment_bytes: 150,
        retention_ms: Some(5000),
        min_cleanable_dirty_ratio: 0.01,
        ..small()
    });
    for _ in 0..12 {
        bench.put_key("k", Some("v"));
    }
    bench.commit();
    assert!(bench.begin_compaction().unwrap().is_none(), "the recovery point is not durable");
    bench.commit();
    let task = bench.begin_compaction().unwrap();
    assert_eq!(retain(&mut bench, 9_000_000), (0, 0));
    let error = crate::StorageError::disk("test", DIR)(std::io::ErrorKind::StorageFull.into());
    drop(task);
    bench.log.give_up_compaction(&error);
    assert_eq!(retain(&mut bench, 9_000_000).0, 12);
}
