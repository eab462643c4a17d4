//! Records, markers and answers of the transaction coordinator as people read them.

use mainstem_coordinator::CoordinatorRecord;
use mainstem_coordinator::transaction::{Markers, TransactionResponse};
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopicResult;
use mainstem_protocol::messages::describe_transactions::TransactionState as DescribedTransaction;
use mainstem_protocol::messages::records::{TransactionLogKey, TransactionLogValue};
use mainstem_protocol::{ErrorCode, Message, Reader, Writer};

const STATES: [&str; 6] =
    ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"];

/// A record as people read it.
pub(crate) fn draw(record: &CoordinatorRecord) -> String {
    let mut reader = Reader::new(record.key.clone());
    let version = reader.i16().expect("a version");
    let key = TransactionLogKey::decode(&mut reader, version).expect("a key");
    let id = key.transactional_id;
    let Some(value) = &record.value else { return format!("{id} forgotten") };
    let mut reader = Reader::new(value.clone());
    let version = reader.i16().expect("a version");
    let value = TransactionLogValue::decode(&mut reader, version).expect("a value");
    let mut line = format!(
        "{id} {} producer={}:{}",
        STATES[value.transaction_status as usize], value.producer_id, value.producer_epoch
    );
    if 0 <= value.previous_producer_id {
        line += &format!(" previous={}", value.previous_producer_id);
    }
    if 0 <= value.next_producer_id {
        line += &format!(" next={}", value.next_producer_id);
    }
    line += &format!(" v{}", value.client_transaction_version);
    for topic in value.transaction_partitions.iter().flatten() {
        for partition in &topic.partition_ids {
            line += &format!(" {}-{partition}", topic.topic);
        }
    }
    line
}

/// The last record of an id at rest, with another epoch.
pub(crate) fn with_epoch(log: &[CoordinatorRecord], id: &str, epoch: i16) -> CoordinatorRecord {
    let is_of = |record: &&CoordinatorRecord| draw(record).split(' ').next() == Some(id);
    let last = log.iter().rev().find(is_of).expect("the id is in the log");
    let mut reader = Reader::new(last.value.clone().expect("the id is not forgotten"));
    let version = reader.i16().expect("a version");
    let mut value = TransactionLogValue::decode(&mut reader, version).expect("a value");
    value.producer_epoch = epoch;
    let mut writer = Writer::new();
    writer.i16(version);
    value.encode(&mut writer, version).expect("encode a value");
    let value = Some(writer.into_bytes().expect("bytes"));
    CoordinatorRecord { key: last.key.clone(), value }
}

/// What the partitions are told.
pub(crate) fn marker(markers: &Markers) -> String {
    let partitions: Vec<String> = markers.partitions.iter().map(ToString::to_string).collect();
    format!(
        "marker -> {} {} producer={}:{} coordinator={} v{}",
        partitions.join(" "),
        if markers.commit { "COMMIT" } else { "ABORT" },
        markers.producer_id,
        markers.producer_epoch,
        markers.coordinator_epoch,
        markers.transaction_version
    )
}

/// An answer as people read it.
pub(crate) fn answer(response: &TransactionResponse) -> String {
    let producer = |code: ErrorCode, id: i64, epoch: i16| match code {
        ErrorCode::NONE => format!("producer={id}:{epoch}"),
        code => code.name().to_owned(),
    };
    match response {
        TransactionResponse::InitProducerId(r) => {
            format!("init {}", producer(r.error_code, r.producer_id, r.producer_epoch))
        }
        TransactionResponse::EndTxn(r) => {
            format!("end {}", producer(r.error_code, r.producer_id, r.producer_epoch))
        }
        TransactionResponse::AddOffsetsToTxn(r) => format!("offsets {}", r.error_code.name()),
        TransactionResponse::AddPartitionsToTxn(r) => {
            let mut line = "add".to_owned();
            line += &topics(&r.results_by_topic_v3_and_below);
            for result in &r.results_by_transaction {
                line += &format!(" {}{}", result.transactional_id, topics(&result.topic_results));
            }
            line
        }
        TransactionResponse::DescribeTransactions(r) => {
            format!("describe{}", r.transaction_states.iter().map(described).collect::<String>())
        }
        TransactionResponse::ListTransactions(r) => {
            let mut line = "list".to_owned();
            if r.error_code != ErrorCode::NONE {
                line += &format!(" {}", r.error_code.name());
            }
            for it in &r.transaction_states {
                let (id, pid) = (&it.transactional_id, it.producer_id);
                line += &format!(" {id}:{pid}:{}", it.transaction_state);
            }
            for name in &r.unknown_state_filters {
                line += &format!(" unknown={name}");
            }
            line
        }
        TransactionResponse::Partitions(codes) => {
            let one = |(partition, code): (&_, &ErrorCode)| format!(" {partition}:{}", code.name());
            format!("write{}", codes.iter().map(one).collect::<String>())
        }
    }
}

fn described(it: &DescribedTransaction) -> String {
    let id = &it.transactional_id;
    if it.error_code != ErrorCode::NONE {
        return format!(" {id}:{}", it.error_code.name());
    }
    let mut line = format!(
        " {id}:{} producer={}:{} timeout={} start={}",
        it.transaction_state,
        it.producer_id,
        it.producer_epoch,
        it.transaction_timeout_ms,
        it.transaction_start_time_ms
    );
    for topic in &it.topics {
        line += &format!(" {}{:?}", topic.topic, topic.partitions);
    }
    line
}

fn topics(topics: &[AddPartitionsToTxnTopicResult]) -> String {
    let mut line = String::new();
    for topic in topics {
        for partition in &topic.results_by_partition {
            let code = partition.partition_error_code.name();
            line += &format!(" {}-{}:{code}", topic.name, partition.partition_index);
        }
    }
    line
}
