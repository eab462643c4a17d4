//! The sink: encodes records for a topic, or for a repartition topic.

use std::sync::Arc;

use super::{Batch, Context, Operator, Outcome, records};
use crate::codec::CodecOf;
use crate::error::StreamsError;
use crate::record::{Item, Output};

pub(crate) struct Sink<K, V> {
    pub(crate) topic: Arc<str>,
    pub(crate) keys: CodecOf<K>,
    pub(crate) values: CodecOf<V>,
}

impl<K: Item, V: Item> Operator for Sink<K, V> {
    fn process(&mut self, batch: Batch, context: &mut Context<'_>) -> Outcome {
        let place = |source| StreamsError::codec(format!("write {}", self.topic), source);
        for record in records::<K, V>(batch) {
            context.outputs.push(Output {
                topic: self.topic.clone(),
                partition: None,
                key: self.keys.encode(&record.key).map_err(place)?,
                value: self.values.encode(&record.value).map_err(place)?,
                timestamp: record.timestamp,
                headers: record.headers,
            });
        }
        Ok(None)
    }
}
