//! The language in which a topology is written: [`Builder`], [`Stream`], [`Table`].
//!
//! Handles are cheap: the shared graph, a node's number, and the codecs that the types are known to
//! have at that point. Rules of the language:
//! - Codecs are asked for only at borders. `map_values` may yield any type; one that has no codec
//!   is refused where it would have to be written.
//! - Everything that gets a topic on the broker has a name given by the program: stores and
//!   repartitions. So a change to one part of a program does not rename the state of another.
//! - An `Option` in a type means null: a missing key, or a tombstone.
//! - Whoever changes keys pays at the next operation that needs records of one key together: there
//!   the records go through a repartition topic.
//! - Mistakes that the compiler cannot see are collected and reported together by
//!   [`Builder::build`].

mod builder;
mod grouped;
mod options;
mod stream;
mod table;

pub use builder::Builder;
pub use grouped::{Grouped, Tumbling, WindowedGroup};
pub use options::{Consumed, Materialized, Produced, Repartitioned};
pub use stream::Stream;
pub use table::{Aggregate, Store, Table, Windows};
