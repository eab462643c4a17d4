//! InitProducerId: key 22, versions 0-5.
//!
//! Behaviour: gives a producer its id and epoch. With a transactional id, earlier holders are
//! fenced and an open transaction of theirs is aborted first (CONCURRENT_TRANSACTIONS until that
//! is done); the topic of transactions is made at the first use by FindCoordinator. Without one,
//! an id is taken from the block of the broker.
//!
//! Version notes:
//! - v2: flexible. v3: the producer's current id and epoch, to bump it (KIP-360).
//! - v4: PRODUCER_FENCED (KIP-588). v5: TRANSACTION_ABORTABLE (KIP-890).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::InitProducerId, 0, 5, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = TransactionRequest::InitProducerId(request.decode()?);
    node.ask_transactions(now, request, body);
    Ok(())
}
