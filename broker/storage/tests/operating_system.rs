//! The log on a real disk: the same code as in the simulator, with files, maps and real syncs.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use bytes::BytesMut;
use mainstem_platform::os::{OsClock, OsDisk};
use mainstem_platform::{Clock, Disk};
use mainstem_protocol::compression::Compression;
use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use mainstem_protocol::record::{BatchBuilder, batches};
use mainstem_storage::{Bound, CleanupPolicy, Log, LogConfig, Origin, Shutdown};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn batch(sequence: i32, value: &str) -> BytesMut {
    let mut builder = BatchBuilder::new().compression(Compression::Lz4).producer(
        ProducerId(1),
        ProducerEpoch(0),
        sequence,
    );
    builder.push(OsClock.now().wall_ms, None, Some(value.as_bytes()), &[]);
    builder.finish_mut().unwrap()
}

fn open(dir: &Path, shutdown: Shutdown) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let config = LogConfig { segment_bytes: 20_000, ..LogConfig::default() };
    Log::open(disk, dir.to_owned(), config, shutdown, OsClock.now()).unwrap()
}

/// All values, and whether their offsets are those of their places.
fn values(log: &Log) -> Vec<String> {
    let mut all = Vec::new();
    let mut from = Offset(0);
    while from < log.log_end_offset() {
        let read = log.read_bytes(from, 1000, Bound::HighWatermark, true).unwrap();
        for batch in batches(&read.bytes) {
            let batch = batch.unwrap();
            assert!(batch.view().is_checksum_ok());
            assert_eq!(batch.view().base_offset().0, all.len() as i64);
            for record in batch.records(1 << 20).unwrap() {
                all.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
        from = read.next_offset;
    }
    all
}

#[test]
fn what_was_written_is_read_after_clean_and_unclean_ends() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("topic-0");
    let mut expected = Vec::new();
    for life in 0..4 {
        let shutdown = if life % 2 == 0 { Shutdown::Unclean } else { Shutdown::Clean };
        let mut log = open(&dir, shutdown);
        assert_eq!(values(&log), expected, "life {life}");
        for _ in 0..400 {
            let value = format!("value {}", expected.len());
            let sent = batch(expected.len() as i32, &value);
            log.append(OsClock.now(), sent, LeaderEpoch(0), Origin::Client).unwrap();
            expected.push(value);
        }
        let task = log.unsynced().unwrap();
        task.run(&OsDisk).unwrap();
        log.synced(task.receipt).unwrap();
        log.set_high_watermark(task.receipt.up_to);
        assert_eq!(values(&log), expected, "life {life}");
        let again = batch(expected.len() as i32 - 5, &expected[expected.len() - 5]);
        let again = log.append(OsClock.now(), again, LeaderEpoch(0), Origin::Client).unwrap();
        assert!(again.duplicate);
        assert!(log.segment_count() > 1);
        if life % 2 == 0 {
            log.close().unwrap();
        }
    }
    let start = open(&dir, Shutdown::Unclean).delete_records_before(Offset(1000)).unwrap();
    assert_eq!(start, Offset(1000));
}

fn compacting() -> LogConfig {
    LogConfig {
        segment_bytes: 20_000,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        ..LogConfig::default()
    }
}

/// Makes everything durable and acknowledges it.
fn commit(log: &mut Log) {
    if let Some(task) = log.unsynced() {
        task.run(&OsDisk).unwrap();
        log.synced(task.receipt).unwrap();
        log.set_high_watermark(task.receipt.up_to);
    }
}

/// The last value of every key, and how many records there are.
fn table(log: &Log) -> (BTreeMap<String, String>, usize) {
    let (mut table, mut count) = (BTreeMap::new(), 0);
    let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut from = Offset(0);
    while from < log.log_end_offset() {
        let read = log.read_bytes(from, 5000, Bound::HighWatermark, true).unwrap();
        for batch in batches(&read.bytes) {
            let batch = batch.unwrap();
            assert!(batch.view().is_checksum_ok());
            for record in batch.records(1 << 20).unwrap() {
                let record = record.unwrap();
                table.insert(text(record.key), text(record.value));
                count += 1;
            }
        }
        from = read.next_offset;
    }
    (table, count)
}

#[test]
fn a_log_is_compacted_while_it_is_read_and_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("topic-0");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let open = |shutdown| {
        let disk = Arc::clone(&disk);
        Log::open(disk, dir.clone(), compacting(), shutdown, OsClock.now()).unwrap()
    };
    let mut log = open(Shutdown::Unclean);
    let put = |log: &mut Log, number: usize| {
        let mut builder = BatchBuilder::new().compression(Compression::Zstd);
        let (key, value) = (format!("key {}", number % 50), format!("value {number}"));
        builder.push(OsClock.now().wall_ms, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        let batch = builder.finish_mut().unwrap();
        log.append(OsClock.now(), batch, LeaderEpoch(0), Origin::Client).unwrap();
    };
    (0..1_000).for_each(|number| put(&mut log, number));
    commit(&mut log);
    // The recovery point is written after the first sync and durable after the second.
    log.compaction_need(OsClock.now()).unwrap().unwrap();
    assert!(log.begin_compaction(OsClock.now(), 1 << 20, 5).unwrap().is_none());
    commit(&mut log);
    let old = log.read(Offset(0), u32::MAX, Bound::HighWatermark, true).unwrap();
    let mut next = log.begin_compaction(OsClock.now(), 1 << 20, 5).unwrap();
    let mut number = 1_000;
    while let Some(mut task) = next {
        task.step(&OsDisk).unwrap();
        put(&mut log, number);
        number += 1;
        let went_on = log.continue_compaction(task).unwrap();
        went_on.removed.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        next = went_on.task;
        commit(&mut log);
    }
    let mut bytes = vec![0; old.ranges[0].len as usize];
    old.ranges[0].file.read_exact_at(&mut bytes, old.ranges[0].position).unwrap();
    let (compacted, count) = table(&log);
    assert_eq!(compacted.len(), 50);
    assert_eq!(compacted["key 7"], "value 1007");
    assert!(count < 600, "{count}");
    drop(log);
    for shutdown in [Shutdown::Unclean, Shutdown::Unclean] {
        assert_eq!(table(&open(shutdown)), (compacted.clone(), count));
    }
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    let odd = |name: &str| [".cleaned", ".swap", ".deleted"].iter().any(|s| name.ends_with(s));
    assert!(!left.iter().any(|name| odd(&name.to_string_lossy())), "{left:?}");
}
