//! Streams, tables and windows over Kafka topics, exactly once.

mod assignment;
pub mod codec;
mod driver;
mod dsl;
mod error;
mod operator;
mod record;
mod runtime;
mod state;
mod task;
mod topology;

pub use codec::{Codec, Data};
pub use driver::{TestDriver, TestInput, TestOutput};
pub use dsl::*;
pub use error::StreamsError;
pub use operator::{BadRecords, Counters, Ctx, Every, Processor};
pub use record::*;
pub use runtime::{App, Config, Guarantee};
pub use state::*;
pub use task::*;
pub use topology::*;
