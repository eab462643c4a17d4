//! What a partition's error code in a produce answer means for its batch.

use mainstem_protocol::ErrorCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the log.
    Done,
    /// Send it again; `moved`: ask who leads the partition first.
    Again { moved: bool },
    /// The broker does not remember this producer, or remembers another past: number what is
    /// unacknowledged anew, under a new epoch.
    Renumber,
    /// It will never be accepted as it is.
    Refused,
    /// The transaction must be aborted.
    Abort,
    /// A newer producer has this transactional id.
    Fenced,
    /// Nothing will be accepted.
    Fatal,
}

/// `oldest`: everything before this batch is acknowledged, so that a gap before it can only be
/// the broker's. For any other batch a gap means that an earlier one has still to arrive.
pub(crate) fn verdict(code: ErrorCode, oldest: bool, transactional: bool) -> Verdict {
    let renumber = if transactional { Verdict::Abort } else { Verdict::Renumber };
    match code {
        ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict::Done,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID => {
            if oldest {
                renumber
            } else {
                Verdict::Again { moved: false }
            }
        }
        ErrorCode::INVALID_PRODUCER_EPOCH => renumber,
        ErrorCode::PRODUCER_FENCED => Verdict::Fenced,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION => Verdict::Fatal,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::LEADER_NOT_AVAILABLE
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::UNKNOWN_LEADER_EPOCH
        | ErrorCode::KAFKA_STORAGE_ERROR => Verdict::Again { moved: true },
        code if code.is_retriable() => Verdict::Again { moved: false },
        // The coordinator was asked by the leader and has trouble of its own; it passes.
        ErrorCode::CONCURRENT_TRANSACTIONS => Verdict::Again { moved: false },
        _ if transactional => Verdict::Abort,
        _ => Verdict::Refused,
    }
}
