//! Producer ids, given out in blocks so that one record serves many producers.
//!
//! Ids lost with a crashed block are never used; there are enough.

use crate::{Decision, Image, MetadataRecord, Reply};
use mainstem_protocol::BrokerId;
use mainstem_protocol::messages::records::ProducerIdsRecord;

/// Ids in one block.
const BLOCK: i32 = 1_000;

pub(super) fn decide(image: &Image, broker: BrokerId) -> Decision {
    let first = image.next_producer_id();
    let Some(next) = first.0.checked_add(BLOCK.into()) else {
        return Decision { records: Vec::new(), reply: Reply::NoProducerIdsLeft };
    };
    let record = ProducerIdsRecord {
        broker_id: broker.0,
        next_producer_id: next,
        ..ProducerIdsRecord::default()
    };
    Decision {
        records: vec![MetadataRecord::ProducerIds(record)],
        reply: Reply::ProducerIds { first, count: BLOCK },
    }
}
