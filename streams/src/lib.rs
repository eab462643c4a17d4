//! Streams, tables and windows over Kafka topics, exactly once.
//!
//! ```
//! use mainstem_streams::{Builder, TestDriver};
//!
//! let b = Builder::new();
//! let counts = b
//!     .stream::<Option<String>, String>("lines")
//!     .flat_map_values(|_, line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
//!     .group_by("by-word", |_, word| word.clone())
//!     .count("word-counts");
//! counts.to_stream().to("counts");
//! let store = counts.store();
//!
//! let driver = TestDriver::new(b.build().expect("a good topology"));
//! driver.input::<Option<String>, String>("lines").send(None, "to be or not to be", 0);
//! assert_eq!(driver.store(&store)["be"], 2);
//! ```
//!
//! In reading order: `record` (what flows), `codec` (types and bytes), `dsl` (the language),
//! `topology` (the graph it makes), `operator` (what runs in a node), `state` (stores), `task` (the
//! machine), `driver` (many tasks without a broker), `assignment` (tasks to members), `runtime` (the
//! shell: clients, transactions, disk).
//!
//! # Exactly once
//! Per commit interval there is one transaction per thread. It holds the outputs, the changes of
//! state (changelogs), the offsets of the inputs and the times saved with them. State goes to disk
//! after the transaction has committed, together with the changelog offset it reaches. So after any
//! crash everything begins from one and the same commit, and only the changelog behind the stored
//! offset is read again.
//!
//! # Time
//! A window `[start, end)` closes when `end + grace <= time`. What time is:
//!
//! - By default, Kafka's *stream time*: the greatest timestamp that the window's operator has seen.
//!   Only records move it, so the last windows stay open until a later record arrives. Behind a
//!   repartition topic it is the time of the *fastest* task upstream: a task that lags by more than
//!   the grace has its records dropped as late. That is Kafka's way, and compatible with it.
//! - With [`Builder::with_watermarks`], the *watermark* of the operator's input: the *least* over
//!   all partitions that can still send a record there. Tasks tell the tasks behind them how far
//!   they are, through the repartition topics and in the same transactions as their records. Grace
//!   then only has to cover the disorder within one source partition, not the distance between
//!   partitions, and no record is late because another partition was faster.
//!
//! # The end of a stream
//! A stream ends when its writer says so: a record with the header [`END_OF_STREAM_HEADER`] in
//! every partition of the topic. It says that no record follows in that partition, and is not
//! handed to operators. With watermarks the partition's time then is the end of time, and once all
//! partitions upstream of a window have ended, the window closes by the ordinary rule. Nothing is
//! closed by a timer, by silence or by reaching the end of a log. What is written behind the end
//! is late. [`App::ended`] tells when all of it has been committed; the fact is saved with the
//! offsets, so it survives restarts and is seen by other instances.
//!
//! A table that must be complete before the first record is joined with it is read as
//! [`Consumed::bounded`]: its task's other inputs wait for its end-of-stream record. Without that,
//! timestamps decide: of all inputs of a task the record with the least timestamp comes first, and
//! an empty input is waited for until it is known to be caught up ([`Idle`]).
//!
//! A partition that is silent and has not ended holds its windows back: that is the price of not
//! guessing.
//!
//! # Left out
//! Joins of two streams, of two tables, session and sliding windows, suppression, global tables,
//! standby copies, remote queries and the new group protocol. Repartition topics are not purged of
//! what has been read.

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
pub use dsl::{
    Aggregate, Builder, Consumed, Grouped, Materialized, Produced, Repartitioned, Store, Stream,
    Table, Tumbling, WindowedGroup, Windows,
};
pub use error::StreamsError;
pub use operator::{BadRecords, Counters, Ctx, Every, Processor};
pub use record::{
    Change, END_OF_STREAM_HEADER, END_OF_TIME, Header, InputRecord, Item, NO_TIME, Output, Rec,
    WATERMARK_HEADER, Windowed,
};
pub use runtime::{App, Config, Guarantee};
pub use state::{
    Backend, ChangelogRecord, KeyValueStore, MemoryBackend, Pair, RocksBackend, Slot, SlotWrites,
    StateBatch, Storage, WindowStore,
};
pub use task::{
    Application, Backends, Changelog, Commit, CommittedOffset, Idle, Step, Task, TaskId,
};
pub use topology::{InternalKind, InternalTopic, PartitionCounts, Reset, StoreId, Topology};
