//! ListTransactions: key 66, versions 0-2.
//!
//! Behaviour: the transactional ids of this broker, filtered by state, producer id, age of the
//! transaction and a pattern upon the id. A pattern is bounded and runs in linear time; one that
//! cannot be read or is too large is INVALID_REGULAR_EXPRESSION.
//!
//! Version notes:
//! - v0: flexible (KIP-664). v1: filter by age (KIP-994). v2: filter by pattern (KIP-1152).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::ListTransactions, 0, 2, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = TransactionRequest::ListTransactions(request.decode()?);
    node.ask_transactions(now, request, body);
    Ok(())
}
