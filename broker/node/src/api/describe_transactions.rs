//! DescribeTransactions: key 65, versions 0.
//!
//! Behaviour: state, producer and partitions of transactional ids; while a transaction ends, only
//! the partitions that still want a marker. An unknown id is TRANSACTIONAL_ID_NOT_FOUND.
//!
//! Version notes:
//! - v0: the first, flexible from the start (KIP-664).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::DescribeTransactions, 0, 0, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = TransactionRequest::DescribeTransactions(request.decode()?);
    node.ask_transactions(now, request, body);
    Ok(())
}
