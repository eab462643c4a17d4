//! The state directory: one per application and process.
//!
//! `<state dir>/<application id>/`
//! - `.lock`: locked while a process uses the directory; a second process is refused
//! - `process-id`: 32 hex digits, made once. Transactional ids contain it, so a process that comes
//!   back after a crash fences and ends its own abandoned transactions at once
//! - `rocksdb/`: the database

use std::fs::File;
use std::path::{Path, PathBuf};

use mainstem_platform::os::os_seed;

use crate::error::StreamsError;

/// An open and locked state directory.
pub(super) struct StateDirectory {
    path: PathBuf,
    pub(super) process: [u8; 16],
    /// Unlocked by the system when the process ends, however it ends.
    _lock: File,
}

impl StateDirectory {
    pub(super) fn open(state_dir: &Path, application_id: &str) -> Result<Self, StreamsError> {
        let path = state_dir.join(application_id);
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            StreamsError::Config(format!("state_dir: {what} {}: {error}", path.display()))
        };
        std::fs::create_dir_all(&path).map_err(|error| failed("make", &error))?;
        let lock = File::create(path.join(".lock")).map_err(|error| failed("lock", &error))?;
        lock.try_lock().map_err(|error| failed("another process uses", &error))?;
        let process =
            process_id(&path.join("process-id")).map_err(|error| failed("use", &error))?;
        Ok(StateDirectory { path, process, _lock: lock })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("rocksdb")
    }

    /// The process id as text.
    pub(super) fn process_text(&self) -> String {
        self.process.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn process_id(path: &Path) -> std::io::Result<[u8; 16]> {
    if let Some(known) = std::fs::read_to_string(path).ok().and_then(|text| parse(text.trim())) {
        return Ok(known);
    }
    let mut process = [0; 16];
    process[..8].copy_from_slice(&os_seed().to_be_bytes());
    process[8..].copy_from_slice(&os_seed().to_be_bytes());
    let text: String = process.iter().map(|byte| format!("{byte:02x}")).collect();
    // Through another name, so that a crash leaves either no id or a whole one.
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, path)?;
    Ok(process)
}

fn parse(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut process = [0; 16];
    for (at, byte) in process.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(process)
}
