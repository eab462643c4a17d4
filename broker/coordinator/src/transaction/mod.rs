//! Transactional ids, their producers, and the two-step end of a transaction.

mod config;
mod request;

pub use config::TransactionConfig;
pub use request::{
    MarkerToken, Markers, Participation, PartitionsInTransaction, TransactionEffect,
    TransactionRequest, TransactionResponse,
};
