//! When a segment ends and the next begins.

use super::*;
use crate::config::CleanupPolicy;

/// Appends a record with this timestamp when the broker's clock shows `now_ms`; the answer is how many
/// segments there are.
fn put_at(bench: &mut Bench, now_ms: i64, time_ms: i64) -> usize {
    bench.now = at(now_ms);
    bench.append(Batch::default().build(time_ms, &[(Some("k"), Some("v"))])).unwrap();
    bench.log.segment_count()
}

fn aged(segment_ms: i64) -> LogConfig {
    LogConfig { segment_ms, segment_index_bytes: 4096, ..LogConfig::default() }
}

#[test]
fn age_is_counted_from_the_first_timestamp_to_the_next() {
    let mut bench = Bench::new(aged(1000));
    assert_eq!(put_at(&mut bench, 1_000_000, 500), 1);
    assert_eq!(put_at(&mut bench, 9_000_000, 1500), 1, "the broker's clock does not count");
    assert_eq!(put_at(&mut bench, 9_000_000, 1501), 2);
    // Old records do not roll, however late they come.
    assert_eq!(put_at(&mut bench, 9_000_000, 3), 2);
    bench.commit();
    bench.reopen(Shutdown::Unclean);
    assert_eq!(put_at(&mut bench, 9_000_000, 2501), 2, "the first timestamp is found again");
    assert_eq!(put_at(&mut bench, 9_000_000, 2502), 3);
}

#[test]
fn without_timestamps_the_clock_counts() {
    let mut bench = Bench::new(aged(1000));
    assert_eq!(put_at(&mut bench, 1_000_000, -1), 1);
    assert_eq!(put_at(&mut bench, 1_001_000, -1), 1);
    assert_eq!(put_at(&mut bench, 1_001_001, -1), 2);
    assert_eq!(put_at(&mut bench, 1_002_001, -1), 2, "counted from its own beginning");
    assert_eq!(put_at(&mut bench, 1_002_002, -1), 3);
}

#[test]
fn a_compacted_log_rolls_before_its_records_wait_too_long() {
    let mut bench = Bench::new(LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        max_compaction_lag_ms: 100,
        ..aged(1000)
    });
    assert_eq!(put_at(&mut bench, 1_000_000, 500), 1);
    assert_eq!(put_at(&mut bench, 1_000_000, 600), 1);
    assert_eq!(put_at(&mut bench, 1_000_000, 601), 2);
}

#[test]
fn jitter_rolls_earlier_and_never_later() {
    let mut ages = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let mut bench = Bench::new(LogConfig { segment_jitter_ms: 400, ..aged(1000) });
        bench.log.seed_jitter(seed);
        put_at(&mut bench, 1_000_000, 0);
        let age = (1..).find(|age| put_at(&mut bench, 1_000_000, *age) == 2).unwrap();
        assert!((601..=1001).contains(&age), "{age}");
        ages.insert(age);
    }
    assert!(ages.len() > 20, "they do not roll together: {ages:?}");
}

#[test]
fn a_full_index_rolls() {
    let config =
        LogConfig { segment_index_bytes: 24, index_interval_bytes: 0, ..LogConfig::default() };
    let mut bench = Bench::new(config);
    for time_ms in 1..20 {
        put_at(&mut bench, 1_000_000, time_ms);
    }
    assert!(bench.log.segment_count() > 5, "{}", bench.log.segment_count());
}

/// Offsets far apart come from compaction; here the segment's base is moved instead.
#[test]
fn an_offset_too_far_from_the_base_rolls() {
    let mut bench = Bench::new(aged(1000));
    put_at(&mut bench, 1_000_000, 1);
    let next = crate::segment::NextAppend {
        size_bytes: 100,
        last_offset: offset(i64::from(i32::MAX)),
        max_timestamp_ms: 1,
        now_ms: 1,
    };
    let config = bench.config.clone();
    let segment = bench.log.segments.last_mut().unwrap();
    assert!(!segment.must_roll(&config, 0, &crate::segment::Run::default(), &next).unwrap());
    let next = crate::segment::NextAppend { last_offset: next.last_offset.next(), ..next };
    assert!(segment.must_roll(&config, 0, &crate::segment::Run::default(), &next).unwrap());
}
