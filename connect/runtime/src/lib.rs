//! Connectors as sandboxed WebAssembly components, with Kafka Connect's REST API.
