//! Group, offset and transaction coordinators as decide/apply machines.
