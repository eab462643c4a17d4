//! Small values private to the task, stored atomically with the positions that are committed next.

use crate::bindings::mainstem::connect::state as wire;
use crate::connector::{Error, ErrorKind};

/// The value that was put last.
pub fn get(key: &str) -> Option<Vec<u8>> {
    wire::get(key)
}

/// Puts a value; it is stored with the next committed positions.
pub fn put(key: &str, value: &[u8]) -> Result<(), Error> {
    wire::put(key, Some(value)).map_err(|text| Error::new(ErrorKind::Fatal, "state", text))
}

/// Removes a key.
pub fn remove(key: &str) -> Result<(), Error> {
    wire::put(key, None).map_err(|text| Error::new(ErrorKind::Fatal, "state", text))
}

/// Keys that begin with `prefix`, in order, with their values.
pub fn scan(prefix: &str, entries_max: u32) -> Vec<(String, Vec<u8>)> {
    wire::scan(prefix, entries_max)
}
