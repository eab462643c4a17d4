//! The tests of the codec: values from dice, bytes from Kafka, and bytes that lie.

mod arbitrary;
mod batches;
mod compression;
mod dice;
mod differential;
mod frames;
mod group_records;
mod meter;
mod mutation;
mod names;
mod round_trip;
