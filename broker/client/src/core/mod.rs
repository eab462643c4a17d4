//! What all three clients share: connections, versions, metadata, backoff. Pure machines.
