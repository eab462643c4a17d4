//! compaction (temporary)
use super::Log;
use crate::error::StorageError;
use mainstem_platform::Now;
use std::path::PathBuf;
impl Log {
    pub fn compact(&mut self, _now: Now) -> Result<Vec<PathBuf>, StorageError> {
        Ok(Vec::new())
    }
}
