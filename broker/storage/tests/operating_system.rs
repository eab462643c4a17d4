//! The log on a real disk: the same code as in the simulator, with files, maps and real syncs.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use bytes::BytesMut;
use mainstem_platform::os::{OsClock, OsDisk};
use mainstem_platform::{Clock, Disk};
use mainstem_protocol::compression::Compression;
use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use mainstem_protocol::record::{BatchBuilder, batches};
use mainstem_storage::{Bound, Log, LogConfig, Origin, Shutdown};
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
    Log::open(disk, dir.to_owned(), config, shutdown, OsClock.now()).unwrap().0
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
