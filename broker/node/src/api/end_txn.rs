//! EndTxn: key 26, versions 0-5.
//!
//! Behaviour: commits or aborts; answered when the decision is durable. Markers follow. A repeated
//! request of the same kind succeeds, one of the other kind is INVALID_TXN_STATE.
//!
//! Version notes:
//! - v2: PRODUCER_FENCED (KIP-588). v3: flexible. v4: TRANSACTION_ABORTABLE.
//! - v5: the epoch grows with every transaction and is in the answer (KIP-890).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::EndTxn, 0, 5, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = TransactionRequest::EndTxn(request.decode()?);
    node.ask_transactions(now, request, body);
    Ok(())
}
