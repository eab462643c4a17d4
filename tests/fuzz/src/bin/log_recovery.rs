//! A partition's folder with any bytes in its files: it opens, or says why not; what opens can be
//! appended to and read.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, piece, seal_batches, seal_snapshot};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, Instant, Now, OpenMode};
use mainstem_storage::{Log, LogConfig, Shutdown, StorageError};

/// All kinds of files that a partition has.
const FILES: [&str; 10] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000000.snapshot",
    "00000000000000000007.log",
    "00000000000000000007.snapshot",
    "leader-epoch-checkpoint",
    "recovery-checkpoint",
    "partition.metadata",
];

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let folder = Path::new("/data/fuzz-0");
    let disk = SimulatedDisk::new();
    disk.create_dir_all(folder).expect("a folder");
    let Some(flags) = choose(&mut data) else { return };
    while let (Some(name), Some(contents)) = (choose(&mut data), piece(&mut data)) {
        let mut contents = contents.to_vec();
        let path = folder.join(FILES[usize::from(name) % FILES.len()]);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") if flags & 2 == 0 => seal_batches(&mut contents),
            Some("snapshot") if flags & 2 == 0 => seal_snapshot(&mut contents),
            _ => {}
        }
        let file = disk.open(&path, OpenMode::CreateOrTruncate).expect("a file");
        file.write_at(&contents, 0).expect("its contents");
    }
    let shutdown = if flags & 1 == 0 { Shutdown::Unclean } else { Shutdown::Clean };
    let now = Now { instant: Instant::from_millis(1_000), wall_ms: 1_700_000_000_000 };
    let config = LogConfig { segment_index_bytes: 4_096, ..LogConfig::default() };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let Ok(log) = Log::open(Arc::clone(&disk), folder.into(), config.clone(), shutdown, now)
    else {
        return;
    };
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(start <= end, "a log ends where it starts or later");
    drop(log);
    // What was recovered once is whole: a second start finds the same. A start that was told of a
    // clean end has verified nothing: the second one may find less, more, or damage.
    match Log::open(disk, folder.into(), config, Shutdown::Unclean, now) {
        Ok(again) if shutdown == Shutdown::Unclean => {
            assert_eq!((again.log_start_offset(), again.log_end_offset()), (start, end));
        }
        Ok(_) => {}
        Err(StorageError::Corrupt { .. }) if shutdown == Shutdown::Clean => {}
        Err(error) => panic!("a recovered log does not open again: {error}"),
    }
});
