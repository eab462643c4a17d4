//! The tests of the codec: values from dice, bytes from Kafka, and bytes that lie.

mod dice;
mod round_trip;
