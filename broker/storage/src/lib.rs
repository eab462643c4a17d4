//! One partition's log on a disk.
