//! Typed records: there and back, across schemas, against bytes that lie, and with a registry.

mod avro;
mod hostile;
mod json;
mod registry;
mod server;
