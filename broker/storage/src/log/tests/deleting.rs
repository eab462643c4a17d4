//! Retention by time and size, deletion on request.

use super::*;
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
    assert_eq!(retain(&mut bench, 1_000_000).0, 4);
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
fn old_segments_are_rolled_by_age() {
    let mut bench = Bench::new(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    bench.put(&["a"]);
    bench.now = at(1_001_000);
    bench.put(&["b"]);
    assert_eq!(bench.log.segment_count(), 1);
    bench.now = at(1_001_001);
    bench.put(&["c"]);
    assert_eq!(bench.log.segment_count(), 2);
}
