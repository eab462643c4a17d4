//! Tests of the producer's machines.
