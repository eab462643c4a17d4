//! Streams, tables and windows over Kafka topics, exactly once.
