//! Partitions come into a transaction: AddPartitionsToTxn, AddOffsetsToTxn, and the writes that
//! verify or add their partition themselves.
//!
//! One rule serves all of them. The producer must be the present one, nothing may be under way for
//! the id, and the answer waits until the partitions are in the log; partitions that are there
//! already are answered at once.

use super::append::Then;
use super::coordinator::TransactionCoordinator;
use super::state::{ClientVersion, Metadata, TransactionState};
use super::{Participation, PartitionsInTransaction, TransactionResponse};
use crate::log::{ClientContext, ReplyTo, TopicPartition, partition_for};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId};
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topic in which a group's offsets take part in a transaction.
const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The request version from which one request carries many transactions, from broker to broker.
const BATCHES_FROM: i16 = 4;
/// Up to here a fenced producer is told with the older code.
const PRODUCER_FENCED_FROM: i16 = 2;

/// Who waits for partitions to be added.
#[derive(Debug)]
pub(super) enum AddWaiter {
    /// AddPartitionsToTxn up to v3; the answer names its partitions.
    Client {
        to: ReplyTo,
        api_version: i16,
        topics: Vec<AddPartitionsToTxnTopic>,
    },
    /// One transaction of an AddPartitionsToTxn of v4 or later.
    Batch {
        to: ReplyTo,
        position: usize,
    },
    Offsets {
        to: ReplyTo,
        api_version: i16,
    },
    Write {
        to: ReplyTo,
        partitions: Vec<TopicPartition>,
    },
}

/// An AddPartitionsToTxn of several transactions, while some of them have not been answered.
#[derive(Debug)]
pub(super) struct Gathering {
    transactions: Vec<AddPartitionsToTxnTransaction>,
    results: Vec<Option<AddPartitionsToTxnResult>>,
}

/// A producer that wants partitions in its transaction.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) transactional_id: String,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    pub(super) partitions: Vec<TopicPartition>,
    version: ClientVersion,
}

impl Wish {
    pub(super) fn is_of_same_producer(&self, other: &Self) -> bool {
        self.producer_id == other.producer_id
            && self.producer_epoch == other.producer_epoch
            && self.version == other.version
    }
}

impl TransactionCoordinator {
    pub(super) fn add_partitions(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: &AddPartitionsToTxnRequest,
        to: ReplyTo,
    ) {
        if BATCHES_FROM <= context.api_version {
            return self.add_batch(now, request, to);
        }
        let wish = Wish {
            transactional_id: request.v3_and_below_transactional_id.clone(),
            producer_id: ProducerId(request.v3_and_below_producer_id),
            producer_epoch: ProducerEpoch(request.v3_and_below_producer_epoch),
            partitions: partitions(&request.v3_and_below_topics),
            version: ClientVersion::V1,
        };
        let waiter = AddWaiter::Client {
            to,
            api_version: context.api_version,
            topics: request.v3_and_below_topics.clone(),
        };
        self.add(now, wish, waiter);
    }

    fn add_batch(&mut self, now: Now, request: &AddPartitionsToTxnRequest, to: ReplyTo) {
        let transactions = request.transactions.clone();
        if transactions.is_empty() {
            let response = AddPartitionsToTxnResponse::default();
            return self.reply(to, TransactionResponse::AddPartitionsToTxn(response));
        }
        let results = vec![None; transactions.len()];
        self.gatherings.insert(to, Gathering { transactions: transactions.clone(), results });
        for (position, transaction) in transactions.into_iter().enumerate() {
            let wish = Wish {
                partitions: partitions(&transaction.topics),
                transactional_id: transaction.transactional_id,
                producer_id: ProducerId(transaction.producer_id),
                producer_epoch: ProducerEpoch(transaction.producer_epoch),
                version: ClientVersion::V2,
            };
            if transaction.verify_only {
                let verdict = self.verify(&wish).map(|metadata| metadata.partitions.clone());
                self.gathered(to, position, |partition| match &verdict {
                    Ok(partitions) if partitions.contains(partition) => ErrorCode::NONE,
                    Ok(_) => ErrorCode::TRANSACTION_ABORTABLE,
                    Err(code) => *code,
                });
            } else {
                self.add(now, wish, AddWaiter::Batch { to, position });
            }
        }
    }

    pub(super) fn add_offsets(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: &AddOffsetsToTxnRequest,
        to: ReplyTo,
    ) {
        let waiter = AddWaiter::Offsets { to, api_version: context.api_version };
        if request.group_id.is_empty() {
            return self.added(waiter, Err(ErrorCode::INVALID_GROUP_ID));
        }
        let partition = partition_for(&request.group_id, self.config.offsets_partitions);
        let wish = Wish {
            transactional_id: request.transactional_id.clone(),
            producer_id: ProducerId(request.producer_id),
            producer_epoch: ProducerEpoch(request.producer_epoch),
            partitions: vec![TopicPartition::new(OFFSETS_TOPIC, partition.0)],
            version: ClientVersion::V1,
        };
        self.add(now, wish, waiter);
    }

    /// A write wants to be part of a transaction, before its first batch is appended to a
    /// partition; answered with [`TransactionResponse::Partitions`].
    pub fn verify_or_add_partitions(
        &mut self,
        now: Now,
        write: PartitionsInTransaction,
        to: ReplyTo,
    ) {
        let wish = Wish {
            transactional_id: write.transactional_id,
            producer_id: write.producer_id,
            producer_epoch: write.producer_epoch,
            partitions: write.partitions,
            version: ClientVersion::V2,
        };
        let missing = match write.participation {
            Participation::Add => {
                let partitions = wish.partitions.clone();
                return self.add(now, wish, AddWaiter::Write { to, partitions });
            }
            Participation::Verify => ErrorCode::INVALID_TXN_STATE,
            Participation::VerifyAbortable => ErrorCode::TRANSACTION_ABORTABLE,
        };
        let verdict = self.verify(&wish);
        let codes: BTreeMap<TopicPartition, ErrorCode> = wish
            .partitions
            .iter()
            .map(|partition| match &verdict {
                Ok(metadata) if metadata.partitions.contains(partition) => {
                    (partition.clone(), ErrorCode::NONE)
                }
                Ok(_) => (partition.clone(), missing),
                Err(code) => (partition.clone(), *code),
            })
            .collect();
        self.reply(to, TransactionResponse::Partitions(codes));
    }

    /// The transaction of a producer that may ask about it.
    fn verify(&self, wish: &Wish) -> Result<&Metadata, ErrorCode> {
        self.check_id(&wish.transactional_id)?;
        let transaction = self.transactions.get(wish.transactional_id.as_str());
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let metadata = &transaction.metadata;
        // While markers are on their way, the client already goes by what comes after them.
        let (producer_id, producer_epoch) = metadata.producer_after_end();
        if producer_id != wish.producer_id {
            Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
        } else if producer_epoch != wish.producer_epoch {
            Err(ErrorCode::PRODUCER_FENCED)
        } else if metadata.state.is_prepared() || transaction.is_ending {
            // A write that was let through now could land behind its transaction's marker.
            Err(ErrorCode::CONCURRENT_TRANSACTIONS)
        } else {
            Ok(metadata)
        }
    }

    fn add(&mut self, now: Now, wish: Wish, waiter: AddWaiter) {
        let is_busy = self.plan_add(now, &wish) == Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        if is_busy {
            self.wait_to_add(now, wish, waiter);
        } else {
            self.add_for_all(now, &wish, vec![waiter]);
        }
    }

    /// One record for all who wait for the same producer's partitions.
    pub(super) fn add_for_all(&mut self, now: Now, wish: &Wish, waiters: Vec<AddWaiter>) {
        let id: Arc<str> = Arc::from(wish.transactional_id.as_str());
        let (result, waiters) = match self.plan_add(now, wish) {
            Err(code) => (Err(code), waiters),
            Ok(None) => (Ok(()), waiters),
            Ok(Some(next)) => match self.transition(&id, Some(next), Then::Added(waiters)) {
                Err((code, Then::Added(waiters))) => (Err(code), waiters),
                _ => return,
            },
        };
        for waiter in waiters {
            self.added(waiter, result);
        }
    }

    /// The next state with the partitions in it; `None` when they all are in it already.
    fn plan_add(&self, now: Now, wish: &Wish) -> Result<Option<Metadata>, ErrorCode> {
        self.check_id(&wish.transactional_id)?;
        let transaction = self.transactions.get(wish.transactional_id.as_str());
        // First of all: what is under way may be the very change that makes this producer present.
        if transaction.is_some_and(|transaction| transaction.in_transition) {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let metadata = self.verify(wish)?;
        let is_open = metadata.state == TransactionState::Ongoing;
        if is_open && wish.partitions.iter().all(|p| metadata.partitions.contains(p)) {
            return Ok(None);
        }
        let next =
            metadata.with_partitions(wish.partitions.iter().cloned(), wish.version, now.wall_ms);
        if self.config.partitions_per_transaction_max < next.partitions.len() {
            return Err(ErrorCode::TRANSACTION_ABORTABLE);
        }
        Ok(Some(next))
    }

    /// The partitions are in the log, or will not come.
    pub(super) fn added(&mut self, waiter: AddWaiter, result: Result<(), ErrorCode>) {
        let code = result.err().unwrap_or(ErrorCode::NONE);
        match waiter {
            AddWaiter::Client { to, api_version, topics } => {
                let code = old_fencing(api_version, code);
                let response = AddPartitionsToTxnResponse {
                    results_by_topic_v3_and_below: topic_results(&topics, |_| code),
                    ..AddPartitionsToTxnResponse::default()
                };
                self.reply(to, TransactionResponse::AddPartitionsToTxn(response));
            }
            AddWaiter::Batch { to, position } => self.gathered(to, position, |_| code),
            AddWaiter::Offsets { to, api_version } => {
                let response = AddOffsetsToTxnResponse {
                    error_code: old_fencing(api_version, code),
                    ..AddOffsetsToTxnResponse::default()
                };
                self.reply(to, TransactionResponse::AddOffsetsToTxn(response));
            }
            AddWaiter::Write { to, partitions } => {
                let codes = partitions.into_iter().map(|partition| (partition, code)).collect();
                self.reply(to, TransactionResponse::Partitions(codes));
            }
        }
    }

    /// One transaction of a batch has its answer; the last one sends them all.
    fn gathered(
        &mut self,
        to: ReplyTo,
        position: usize,
        code: impl Fn(&TopicPartition) -> ErrorCode,
    ) {
        let Some(gathering) = self.gatherings.get_mut(&to) else { return };
        let transaction = &gathering.transactions[position];
        gathering.results[position] = Some(AddPartitionsToTxnResult {
            transactional_id: transaction.transactional_id.clone(),
            topic_results: topic_results(&transaction.topics, code),
        });
        if gathering.results.iter().all(Option::is_some) {
            let gathering = self.gatherings.remove(&to).expect("it was just looked up");
            let response = AddPartitionsToTxnResponse {
                results_by_transaction: gathering.results.into_iter().flatten().collect(),
                ..AddPartitionsToTxnResponse::default()
            };
            self.reply(to, TransactionResponse::AddPartitionsToTxn(response));
        }
    }
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let of = |topic: &AddPartitionsToTxnTopic| -> Vec<TopicPartition> {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let partition = |index: &i32| TopicPartition {
            topic: Arc::clone(&name),
            partition: PartitionIndex(*index),
        };
        topic.partitions.iter().map(partition).collect()
    };
    topics.iter().flat_map(of).collect()
}

fn topic_results(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&TopicPartition) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let result = |topic: &AddPartitionsToTxnTopic, index: i32| AddPartitionsToTxnPartitionResult {
        partition_index: index,
        partition_error_code: code(&TopicPartition::new(&topic.name, index)),
    };
    topics
        .iter()
        .map(|topic| AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition: topic.partitions.iter().map(|i| result(topic, *i)).collect(),
        })
        .collect()
}

fn old_fencing(api_version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::PRODUCER_FENCED if api_version < PRODUCER_FENCED_FROM => {
            ErrorCode::INVALID_PRODUCER_EPOCH
        }
        code => code,
    }
}
