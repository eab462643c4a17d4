//! How many files this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes all that the system lets it have: the limit that a process starts with is that of programs that wait for
/// descriptors below 1,024. Gives the limit from now on; `None` is no limit.
pub(crate) fn allow_all() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, ..limit };
    // What cannot be raised stays as it is, which the caller sees.
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile).current
}
