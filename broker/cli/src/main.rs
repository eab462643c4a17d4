//! The one binary: `mainstem`.
fn main() {}
