//! The judges. Each has a name that a failure carries, so that one can see which rule was broken.
//!
//! - `records` compares, at the end, what clients were told with what the log holds: *lost*,
//!   *twice*, *order*, *changed*, *torn*, *exactly once*.
//! - `groups` listens while the run goes on: *two owners*, *generation*, *fencing*, *offsets*.
//! - Actors judge what can be said at once: *watermark*, *protocol*; the world itself *start* and
//!   *progress*.

mod groups;
mod records;

pub(crate) use groups::{GroupBook, SharedBook};
pub(crate) use records::{Contents, Ending, Rows, Testimony, Transactions, Value, judge};
