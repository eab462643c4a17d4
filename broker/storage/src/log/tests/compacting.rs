//! compaction tests follow
