//! How the transactions ended that a pass of compaction walks through.
//!
//! A pass begins at the front of the log, so of each transaction it meets the batches first and the
//! marker later. Aborted ones are known beforehand, from the transaction indexes: their batches are
//! worth nothing. A marker is needed as long as a batch of its transaction is in the log when the pass
//! begins; a marker that met none may go, after a while (see `filter`).
//!
//! The entries of the transaction index that the rewritten log still needs fall out of this: those of
//! the aborted transactions of which a batch was met.

use crate::header::BatchHeader;
use crate::transaction_index::Aborted;
use mainstem_protocol::ids::{Offset, ProducerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the module's words.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Aborted ones that the pass has not come to, by their first offset.
    ahead: VecDeque<Aborted>,
    /// Aborted ones that have begun, with whether a batch was met.
    aborted: BTreeMap<ProducerId, (Aborted, bool)>,
    /// Producers of which a batch was met in a transaction that was not aborted.
    others: BTreeSet<ProducerId>,
}

impl Transactions {
    pub(super) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|aborted| aborted.first_offset);
        Self { ahead: aborted.into(), ..Self::default() }
    }

    fn advance(&mut self, to: Offset) {
        while let Some(next) = self.ahead.pop_front_if(|next| next.first_offset <= to) {
            self.aborted.insert(next.producer_id, (next, false));
        }
    }

    /// A batch of records comes next; the answer is whether it is part of an aborted transaction.
    pub(super) fn meet_batch(&mut self, header: &BatchHeader) -> bool {
        self.advance(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        if let Some((_, met)) = self.aborted.get_mut(&header.producer_id) {
            *met = true;
            return true;
        }
        self.others.insert(header.producer_id);
        false
    }

    /// A marker comes next. The answers are whether no batch of its transaction was met, and the index
    /// entry that stays needed.
    pub(super) fn meet_marker(
        &mut self,
        header: &BatchHeader,
        commit: bool,
    ) -> (bool, Option<Aborted>) {
        self.advance(header.last_offset());
        if commit {
            return (!self.others.remove(&header.producer_id), None);
        }
        match self.aborted.remove(&header.producer_id) {
            Some((aborted, true)) => (false, Some(aborted)),
            _ => (true, None),
        }
    }
}
