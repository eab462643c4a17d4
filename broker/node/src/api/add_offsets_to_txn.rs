//! AddOffsetsToTxn: key 25, versions 0-4.
//!
//! Behaviour: adds the partition of a group's offsets to a transaction; for clients of version 1
//! transactions. Later clients let TxnOffsetCommit do it.
//!
//! Version notes:
//! - v3: flexible. v4: the client knows TRANSACTION_ABORTABLE (KIP-890).

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;

pub(crate) const API: Api = Api::new(ApiKey::AddOffsetsToTxn, 0, 4, Place::FirstShard, handle);

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body = TransactionRequest::AddOffsetsToTxn(request.decode()?);
    node.ask_transactions(now, request, body);
    Ok(())
}
