//! Of each key the latest value stays, whatever happens on the way.

use super::*;
use crate::config::CleanupPolicy;
use mainstem_platform::{Random, SeededRandom};
use std::collections::BTreeMap;

fn compacting() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        segment_bytes: 300,
        min_cleanable_dirty_ratio: 0.01,
        delete_retention_ms: 1000,
        ..small()
    }
}

fn clean(bench: &mut Bench) -> String {
    bench.commit();
    bench.compact().unwrap();
    bench.records(Bound::HighWatermark)
}

#[test]
fn older_values_of_a_key_go_and_offsets_stay() {
    let mut bench = Bench::new(compacting());
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "3"), ("b", "2")] {
        bench.put_key(key, Some(value));
    }
    bench.put_key("rolled", Some("x"));
    bench.put_key("active", Some("x"));
    bench.put_key("active", Some("y"));
    assert!(bench.log.segment_count() >= 3);
    assert_eq!(clean(&mut bench), "3=1 4=3 5=2 6=x 7=x 8=y");
    let end = bench.log.log_end_offset();
    let found = bench.log.read_bytes(offset(0), 10, Bound::LogEnd, true).unwrap();
    assert_eq!(found.next_offset, offset(4), "a gap is read over");
    bench.disk.kill_process();
    bench.reopen(Shutdown::Unclean);
    assert_eq!(bench.log.log_end_offset(), end);
    assert_eq!(bench.records(Bound::LogEnd), "3=1 4=3 5=2 6=x 7=x 8=y");
}

#[test]
fn a_batch_keeps_what_is_still_the_latest() {
    let mut bench = Bench::new(compacting());
    let records = [(Some("a"), Some("1")), (Some("b"), Some("1")), (Some("c"), Some("1"))];
    bench.append(Batch::of(9, 0).build(1_000_000, &records)).unwrap();
    bench.put_key("b", Some("2"));
    for _ in 0..5 {
        bench.put_key("z", Some("fill the segment up"));
    }
    let cleaned = clean(&mut bench);
    assert!(cleaned.starts_with("0=1 2=1 3=2 "), "{cleaned}");
    let again = bench.append(Batch::of(9, 0).build(1_000_000, &records)).unwrap();
    assert!(again.duplicate, "the producer is known as before");
}

#[test]
fn neighbours_become_one_segment() {
    let mut bench = Bench::new(compacting());
    for round in 0..40 {
        bench.put_key("k", Some(&round.to_string()));
    }
    assert!(bench.log.segment_count() > 8);
    // A head is left of each segment: only what is known to fit is joined.
    clean(&mut bench);
    assert!(bench.log.segments[1].size <= 70, "{}", bench.log.segments[1].size);
    for round in 40..48 {
        bench.put_key("k", Some(&round.to_string()));
    }
    clean(&mut bench);
    assert!(bench.log.segment_count() <= 4, "{}", bench.log.segment_count());
    let files = bench.disk.contents().len();
    bench.reopen(Shutdown::Unclean);
    assert!(bench.records(Bound::LogEnd).ends_with("47=47"));
    assert!(bench.disk.contents().len() <= files);
}

#[test]
fn tombstones_go_when_their_time_is_over() {
    let mut bench = Bench::new(compacting());
    bench.put_key("a", Some("1"));
    bench.put_key("a", None);
    for _ in 0..6 {
        bench.put_key("z", Some("fill the segment up"));
    }
    assert!(clean(&mut bench).starts_with("1=null "));
    bench.now = at(1_002_000);
    for _ in 0..6 {
        bench.put_key("z", Some("fill the segment up"));
    }
    assert!(!clean(&mut bench).contains("null"));
}

#[test]
fn transactions_are_cleaned_when_they_have_ended() {
    let mut bench = Bench::new(compacting());
    let put = |bench: &mut Bench, producer, sequence, key| {
        let batch = Batch::transactional(producer, sequence);
        bench.append(batch.build(1_000_000, &[(Some(key), Some("t"))])).unwrap();
    };
    bench.put_key("a", Some("before")); // 0
    put(&mut bench, 1, 0, "a"); // 1, aborted: the value before stays
    put(&mut bench, 2, 0, "b"); // 2, committed
    bench.mark(1, false); // 3
    bench.mark(2, true); // 4
    put(&mut bench, 2, 1, "c"); // 5, open
    for _ in 0..6 {
        bench.put_key("z", Some("fill the segment up"));
    }
    let open = clean(&mut bench);
    assert!(open.starts_with("0=before 2=t 3=marker 4=marker 5=t "), "{open}");
    bench.mark(2, true);
    for _ in 0..6 {
        bench.put_key("z", Some("fill the segment up"));
    }
    let ended = clean(&mut bench);
    assert!(ended.starts_with("0=before 2=t 3=marker 4=marker 5=t "), "{ended}");
    bench.now = at(1_005_000);
    bench.put_key("b", Some("later"));
    for _ in 0..8 {
        bench.put_key("z", Some("fill the segment up"));
    }
    let later = clean(&mut bench);
    assert!(later.starts_with("0=before 3=marker 4=marker 5=t "), "2 was superseded: {later}");
    for now in [1_006_000, 1_008_000] {
        bench.now = at(now);
        for _ in 0..8 {
            bench.put_key("z", Some("fill the segment up"));
        }
        clean(&mut bench);
    }
    let last = bench.records(Bound::LogEnd);
    assert!(last.starts_with("0=before 3=marker 5=t "), "{last}");
    assert!(last[20..].contains("marker"), "that of the record at 5: {last}");
}

/// The latest value of every key, as a reader builds it.
fn table(bench: &Bench) -> BTreeMap<Bytes, Option<Bytes>> {
    let mut table = BTreeMap::new();
    let mut from = bench.log.log_start_offset();
    while from < bench.log.log_end_offset() {
        let read = bench.log.read_bytes(from, 1 << 20, Bound::LogEnd, true).unwrap();
        for batch in batches(&read.bytes) {
            for record in batch.unwrap().records(1 << 20).unwrap() {
                let record = record.unwrap();
                table.insert(record.key.unwrap(), record.value);
            }
        }
        from = read.next_offset;
    }
    table.retain(|_, value| value.is_some());
    table
}

#[test]
fn a_crash_at_any_moment_changes_no_value() {
    for seed in 0..60 {
        let mut random = SeededRandom::new(seed);
        let mut bench = Bench::new(compacting());
        for _ in 0..6 {
            for _ in 0..25 {
                let key = format!("key {}", random.below(6));
                let value = random.next_u64().to_string();
                let value = (!random.one_in(5)).then_some(value.as_str());
                bench.put_key(&key, value);
                bench.now.wall_ms += 100;
            }
            bench.commit();
            let before = table(&bench);
            if random.one_in(2) {
                // The disk fails somewhere in the middle of the work.
                bench.disk.fail_sync_after(random.below(8));
                let _ = bench.compact();
                bench.disk.crash(random.next_u64());
                bench.reopen(Shutdown::Unclean);
            } else {
                bench.compact().unwrap();
            }
            assert_eq!(table(&bench), before, "seed {seed}");
        }
    }
}

#[test]
fn a_log_is_compacted_when_it_is_worth_it() {
    let mut bench = Bench::new(LogConfig { min_cleanable_dirty_ratio: 0.6, ..compacting() });
    let fill = |bench: &mut Bench, count: u32| {
        for number in 0..count {
            let key = format!("key {number}");
            bench.put_key(&key, Some("some value that is long enough"));
        }
        bench.commit();
    };
    fill(&mut bench, 12);
    assert!(bench.compact().unwrap(), "all of it is dirty");
    let first = bench.log.first_dirty();
    assert!(offset(0) < first);
    fill(&mut bench, 6);
    assert!(!bench.compact().unwrap(), "less than 60 per cent of it are dirty");
    // A start knows from the checkpoint what is clean.
    bench.log.close().unwrap();
    bench.reopen(Shutdown::Clean);
    assert_eq!(bench.log.first_dirty(), first);
    assert!(!bench.compact().unwrap());
    bench.config.max_compaction_lag_ms = 50;
    bench.log.set_config(bench.config.clone());
    assert!(!bench.compact().unwrap());
    bench.now = at(1_000_051);
    let need = bench.log.compaction_need(bench.now).unwrap().unwrap();
    assert!(need.is_overdue && need.dirty_ratio < 0.6);
    assert!(bench.compact().unwrap());
    assert!(first < bench.log.first_dirty());
}

#[test]
fn young_records_and_open_transactions_hold_compaction_back() {
    let mut bench = Bench::new(LogConfig { min_compaction_lag_ms: 1000, ..compacting() });
    for _ in 0..12 {
        bench.put_key("k", Some("a value"));
    }
    bench.commit();
    assert!(bench.log.compaction_need(at(1_000_999)).unwrap().is_none());
    assert!(bench.log.compaction_need(at(1_001_000)).unwrap().is_some());
    let mut bench = Bench::new(compacting());
    let batch = Batch::transactional(1, 0);
    bench.append(batch.build(1_000_000, &[(Some("a"), Some("t"))])).unwrap();
    for _ in 0..12 {
        bench.put_key("k", Some("a value"));
    }
    bench.commit();
    assert!(bench.log.compaction_need(bench.now).unwrap().is_none());
    bench.mark(1, true);
    bench.commit();
    assert!(bench.log.compaction_need(bench.now).unwrap().is_some());
}

#[test]
fn a_damaged_segment_ends_compaction_and_nothing_else() {
    let mut bench = Bench::new(compacting());
    for number in 0..12 {
        bench.put_key("k", Some(&number.to_string()));
    }
    bench.commit();
    let before = bench.records(Bound::LogEnd);
    let path = Path::new(DIR).join("00000000000000000000.log");
    bench.disk.flip(&path, 64, 1).unwrap();
    let error = bench.compact().unwrap_err();
    assert!(matches!(error, crate::StorageError::Corrupt { .. }), "{error}");
    assert!(bench.log.compaction_need(bench.now).unwrap().is_none(), "it is not tried again");
    bench.disk.flip(&path, 64, 1).unwrap();
    assert_eq!(bench.records(Bound::LogEnd), before);
    assert!(
        !bench.disk.contents().iter().any(|(path, _)| path.to_string_lossy().contains(".cleaned"))
    );
}
