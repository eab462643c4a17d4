//! A snapshot of producers with any contents and the right checksum: the log opens, its producers go
//! on or are refused, and a second start knows the same ones.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, seal_snapshot};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, Instant, Now, OpenMode};
use mainstem_protocol::LeaderEpoch;
use mainstem_storage::{Log, LogConfig, Marker, Shutdown};

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let Some(flags) = choose(&mut data) else { return };
    let folder = Path::new("/data/fuzz-0");
    let disk = SimulatedDisk::new();
    disk.create_dir_all(folder).expect("a folder");
    let mut snapshot = data.to_vec();
    seal_snapshot(&mut snapshot);
    for (name, contents) in
        [("00000000000000000007.log", &[][..]), ("00000000000000000007.snapshot", &snapshot)]
    {
        let file = disk.open(&folder.join(name), OpenMode::CreateOrTruncate).expect("a file");
        file.write_at(contents, 0).expect("its contents");
    }
    let now = Now { instant: Instant::from_millis(1_000), wall_ms: 1_700_000_000_000 };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let config = LogConfig { segment_index_bytes: 4_096, ..LogConfig::default() };
    let open = |shutdown| {
        Log::open(Arc::clone(&disk), folder.into(), config.clone(), shutdown, now)
            .expect("a snapshot that is no good is passed over")
    };
    let mut log = open(Shutdown::Clean);
    for producer in log.producers() {
        let marker = Marker {
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            commit: flags & 1 == 0,
            coordinator_epoch: 1,
            transaction_version: i16::from(flags >> 1 & 3),
        };
        if log.append_marker(now, marker, LeaderEpoch(1)).is_ok() {
            assert!(!log.has_open_transaction(producer.producer_id), "a marker ends a transaction");
        }
    }
    log.expire_producers(now);
    log.set_high_watermark(log.log_end_offset());
    let (end, stable) = (log.log_end_offset(), log.last_stable_offset());
    let known = log.producers();
    log.close().expect("a clean end");
    drop(log);
    let mut again = open(Shutdown::Clean);
    again.set_high_watermark(again.log_end_offset());
    assert_eq!((again.log_end_offset(), again.last_stable_offset()), (end, stable));
    assert_eq!(again.producers().len(), known.len(), "a clean start forgets nobody");
});
