//! Tests of the shared machines.
