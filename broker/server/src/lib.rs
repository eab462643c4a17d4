//! The shell around a node: listeners, shards, the disk pool and HTTP.
