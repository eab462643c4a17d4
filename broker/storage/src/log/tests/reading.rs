//! Slices end where the bound, the budget or a batch says; aborted transactions are named; times find
//! their records.

use super::*;

fn shown(slice: &FetchSlice) -> String {
    let lens: Vec<_> = slice.ranges.iter().map(|range| range.len.to_string()).collect();
    format!("{} next {}", lens.join("+"), slice.next_offset)
}

#[test]
fn a_slice_holds_whole_batches_within_its_budget() {
    let mut bench = Bench::new(LogConfig { index_interval_bytes: 150, ..LogConfig::default() });
    for value in ["a", "b", "c", "d", "e", "f"] {
        bench.put(&[value]); // 61 + 8 bytes each
    }
    bench.acknowledge();
    let read = |from, max_bytes, min_one| {
        shown(&bench.log.read(offset(from), max_bytes, Bound::HighWatermark, min_one).unwrap())
    };
    assert_eq!(read(0, 1000, false), "414 next 6");
    assert_eq!(read(0, 414, false), "414 next 6");
    assert_eq!(read(0, 413, false), "345 next 5");
    assert_eq!(read(1, 200, false), "138 next 3");
    assert_eq!(read(3, 69, false), "69 next 4");
    assert_eq!(read(3, 68, false), " next 3");
    assert_eq!(read(3, 68, true), "69 next 4");
    assert_eq!(read(5, 0, true), "69 next 6");
    assert_eq!(read(6, 100, true), " next 6");
}

#[test]
fn a_slice_goes_on_into_the_next_segment() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 140, ..small() });
    for value in ["a", "b", "c", "d", "e"] {
        bench.put(&[value]);
    }
    bench.acknowledge();
    assert_eq!(bench.log.segment_count(), 3);
    let read = |from, max_bytes| {
        shown(&bench.log.read(offset(from), max_bytes, Bound::HighWatermark, true).unwrap())
    };
    assert_eq!(read(0, 1000), "138+138+69 next 5");
    assert_eq!(read(1, 220), "69+138 next 4");
    assert_eq!(read(1, 100), "69 next 2");
}

#[test]
fn offsets_outside_of_the_log_are_out_of_range() {
    let mut bench = Bench::new(LogConfig::default());
    bench.put(&["a", "b"]);
    let read = |bench: &Bench, from, bound| {
        bench.log.read(offset(from), 100, bound, true).map(|slice| slice.next_offset.0).ok()
    };
    assert_eq!(read(&bench, 1, Bound::HighWatermark), Some(1), "nothing acknowledged: wait");
    assert_eq!(read(&bench, 2, Bound::HighWatermark), Some(2));
    assert_eq!(read(&bench, 3, Bound::LogEnd), None);
    bench.acknowledge();
    bench.log.delete_records_before(offset(1)).unwrap();
    assert_eq!(read(&bench, 0, Bound::LogEnd), None);
    assert_eq!(read(&bench, 1, Bound::LogEnd), Some(2));
}

#[test]
fn committed_readers_stop_at_open_transactions_and_learn_of_aborted_ones() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 200, ..small() });
    bench.append(Batch::transactional(1, 0).build(0, &[(None, Some("a"))])).unwrap();
    bench.append(Batch::transactional(2, 0).build(0, &[(None, Some("b"))])).unwrap();
    bench.put(&["c"]);
    bench.acknowledge();
    assert_eq!(bench.log.last_stable_offset(), offset(0));
    bench.mark(2, false); // 3
    bench.acknowledge();
    assert_eq!(bench.log.last_stable_offset(), offset(0));
    assert!(bench.log.has_open_transaction(ProducerId(1)));
    bench.mark(1, true); // 4
    assert_eq!(bench.log.last_stable_offset(), offset(0), "the marker is not acknowledged");
    bench.acknowledge();
    assert_eq!(bench.log.last_stable_offset(), offset(5));
    assert!(!bench.log.has_open_transaction(ProducerId(1)));
    let aborted = |bench: &Bench, from| {
        let slice = bench.log.read(offset(from), 1 << 20, Bound::LastStable, true).unwrap();
        slice.aborted.iter().map(|a| (a.producer_id.0, a.first_offset.0)).collect::<Vec<_>>()
    };
    assert!(bench.log.segment_count() > 1, "the marker is in a later segment");
    for from in 0..=3 {
        assert_eq!(aborted(&bench, from), [(2, 1)], "from {from}");
    }
    assert_eq!(aborted(&bench, 4), []);
    let plain = bench.log.read(offset(0), 1 << 20, Bound::HighWatermark, true).unwrap();
    assert!(plain.aborted.is_empty());
    bench.log.close().unwrap();
    bench.reopen(Shutdown::Clean);
    assert_eq!(aborted(&bench, 1), [(2, 1)]);
}

#[test]
fn a_time_finds_the_first_record_that_is_not_older() {
    let mut bench = Bench::new(LogConfig { segment_bytes: 300, ..small() });
    // Times go up and down; two records per batch.
    let times = [10, 40, 20, 30, 90, 50, 60, 70, 80, 100];
    for time in times {
        let mut builder = Batch::default().builder();
        builder.push(time, None, Some(b"first"), &[]);
        builder.push(time + 5, None, Some(b"second"), &[]);
        bench.append(builder.finish_mut().unwrap()).unwrap();
    }
    bench.acknowledge();
    assert!(bench.log.segment_count() > 2);
    let all: Vec<i64> = times.iter().flat_map(|time| [*time, time + 5]).collect();
    for wanted in 0..=106 {
        let expected = all.iter().position(|time| wanted <= *time).map(|at| (at as i64, all[at]));
        let found = bench.log.offset_for_timestamp(wanted, Bound::HighWatermark).unwrap();
        assert_eq!(found.map(|f| (f.offset.0, f.timestamp_ms)), expected, "time {wanted}");
    }
    let newest = bench.log.offset_of_max_timestamp(Bound::HighWatermark).unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp_ms), (offset(19), 105));
    bench.log.close().unwrap();
    bench.reopen(Shutdown::Clean);
    let found = bench.log.offset_for_timestamp(86, Bound::HighWatermark).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp_ms), (offset(8), 90));
}

#[test]
fn epochs_tell_where_they_ended() {
    let mut bench = Bench::new(LogConfig::default());
    for epoch in [0, 0, 3, 3, 5] {
        let batch = Batch::default().build(0, &[(None, Some("v"))]);
        bench.log.append(bench.now, batch, LeaderEpoch(epoch), Origin::Client).unwrap();
    }
    let end = |bench: &Bench, epoch| {
        bench.log.offset_for_leader_epoch(LeaderEpoch(epoch)).map(|(e, o)| (e.0, o.0))
    };
    for (asked, expected) in [(0, (0, 2)), (2, (0, 2)), (3, (3, 4)), (5, (5, 5)), (9, (5, 5))] {
        assert_eq!(end(&bench, asked), Some(expected));
    }
    let stale = Batch::default().build(0, &[(None, Some("v"))]);
    let error = bench.log.append(bench.now, stale, LeaderEpoch(4), Origin::Client).unwrap_err();
    assert!(matches!(error, AppendError::StaleLeaderEpoch { .. }));
    bench.commit();
    bench.disk.crash(1);
    bench.reopen(Shutdown::Unclean);
    assert_eq!(end(&bench, 4), Some((3, 4)));
}
