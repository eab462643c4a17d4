//! A partition's folder with any bytes in its files: it opens, or says why not; what opens can be
//! appended to and read.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mainstem_fuzz::{choose, piece};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, Instant, Now, OpenMode};
use mainstem_storage::{Log, LogConfig, Shutdown};

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
        let path = folder.join(FILES[usize::from(name) % FILES.len()]);
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
    // What was recovered once is whole: a second start finds the same.
    let again = Log::open(disk, folder.into(), config, Shutdown::Unclean, now);
    let again = again.expect("a recovered log opens again");
    assert_eq!((again.log_start_offset(), again.log_end_offset()), (start, end));
});
