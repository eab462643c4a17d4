//! Tests of the consumer's machines.
