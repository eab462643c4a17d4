//! The source: decodes the records of a topic, or of a repartition topic.

use super::{Batch, Context, Operator, Outcome, batch};
use crate::codec::{CodecError, CodecOf};
use crate::error::StreamsError;
use crate::record::{InputRecord, Item, Rec};

/// What becomes of a record that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecords {
    /// The task stops with an error that names topic and offset. The default.
    Fail,
    /// It is counted and left out.
    Skip,
}

pub(crate) struct Source<K, V> {
    pub(crate) topic: String,
    pub(crate) keys: CodecOf<K>,
    pub(crate) values: CodecOf<V>,
    pub(crate) bad_records: BadRecords,
}

impl<K: Item, V: Item> Source<K, V> {
    fn decode(&self, input: &InputRecord) -> Result<(K, V), CodecError> {
        if input.timestamp < 0 {
            let reason = format!("timestamp {} is negative", input.timestamp);
            return Err(CodecError::Malformed(reason));
        }
        Ok((self.keys.decode(input.key.as_ref())?, self.values.decode(input.value.as_ref())?))
    }
}

impl<K: Item, V: Item> Operator for Source<K, V> {
    fn process(&mut self, inputs: Batch, context: &mut Context<'_>) -> Outcome {
        let inputs: Vec<InputRecord> =
            *inputs.downcast().expect("a source is fed with raw records");
        let mut records = Vec::with_capacity(inputs.len());
        for input in inputs {
            match self.decode(&input) {
                Ok((key, value)) => records.push(Rec {
                    key,
                    value,
                    timestamp: input.timestamp,
                    headers: input.headers,
                }),
                Err(_) if self.bad_records == BadRecords::Skip => context.counters.malformed += 1,
                Err(source) => {
                    let place = format!("read {} at offset {}", self.topic, input.offset);
                    return Err(StreamsError::codec(place, source));
                }
            }
        }
        context.counters.processed += records.len() as u64;
        Ok(batch(records))
    }
}
