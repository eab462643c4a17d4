//! The commands of scripts that are about transactions.

use super::{Producer, Script, Words, partition_of};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, OffsetFetchRequest, TxnOffsetCommitRequest,
};
use std::collections::BTreeMap;

impl Script {
    /// `init A tid=x`: finds the coordinator and gets a producer id. Without tid: idempotent. With
    /// `as=A` it names the producer that A is (KIP-360).
    pub(super) fn init(&mut self, words: &Words) {
        let transactional_id = words.options.get("tid").map(|id| (*id).to_owned());
        if let Some(id) = &transactional_id {
            self.find(1, id);
        }
        let goes_on = words.options.get("as").map(|name| self.producers[*name].clone());
        let request = InitProducerIdRequest {
            transactional_id: transactional_id.clone(),
            transaction_timeout_ms: words.number("timeout", 60_000) as i32,
            producer_id: goes_on.as_ref().map_or(-1, |producer| producer.id),
            producer_epoch: goes_on.as_ref().map_or(-1, |producer| producer.epoch),
        };
        let response = self.world.call(3, words.number("v", 4) as i16, &request);
        let (id, epoch) = (response.producer_id, response.producer_epoch);
        if response.error_code != ErrorCode::NONE && goes_on.is_some() {
            return self.say(response.error_code.name());
        }
        let producer = Producer { transactional_id, id, epoch, sequences: BTreeMap::new() };
        self.producers.insert(words.plain[0].to_owned(), producer);
        self.say(&format!("{} id={id} epoch={epoch}", response.error_code.name()));
    }

    /// `add A t-0`: version 1 clients say it before they write.
    pub(super) fn add(&mut self, words: &Words) {
        let producer = self.producers[words.plain[0]].clone();
        let (name, partition) = partition_of(words.plain[1]);
        let topic = AddPartitionsToTxnTopic { name, partitions: vec![partition] };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: producer.transactional_id.unwrap_or_default(),
            v3_and_below_producer_id: producer.id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let response = self.world.call(3, 3, &request);
        let result = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
        self.say(result.partition_error_code.name());
    }

    /// `end A commit v=5`; with `late=n` as if it were n transactions late.
    pub(super) fn end(&mut self, words: &Words) {
        let producer = self.producers[words.plain[0]].clone();
        let request = EndTxnRequest {
            transactional_id: producer.transactional_id.clone().unwrap_or_default(),
            producer_id: producer.id,
            producer_epoch: producer.epoch - words.number("late", 0) as i16,
            committed: words.has("commit"),
        };
        self.world.send(3, words.number("v", 3) as i16, &request);
        self.show_ended(words);
    }

    /// `ended A v=5`: the answer to an end that had none yet.
    pub(super) fn show_ended(&mut self, words: &Words) {
        let version = words.number("v", 3) as i16;
        let Some(response) = self.world.take::<EndTxnRequest>(3, version) else {
            return self.say("no answer");
        };
        self.say(response.error_code.name());
        if 5 <= version && response.error_code == ErrorCode::NONE {
            let producer = self.producers.get_mut(words.plain[0]).expect("a producer");
            producer.id = response.producer_id;
            producer.epoch = response.producer_epoch;
            producer.sequences.clear();
        }
    }

    fn find(&mut self, key_type: i8, key: &str) {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec![key.to_owned()],
            ..Default::default()
        };
        let found = self.world.call(3, 4, &request);
        assert_eq!(found.coordinators[0].error_code, ErrorCode::NONE);
    }

    /// `add-group A g`: version 1 clients say it before they send offsets.
    pub(super) fn add_group(&mut self, words: &Words) {
        self.find(0, words.plain[1]);
        let producer = self.producers[words.plain[0]].clone();
        let request = AddOffsetsToTxnRequest {
            transactional_id: producer.transactional_id.unwrap_or_default(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            group_id: words.plain[1].to_owned(),
        };
        let response = self.world.call(3, words.number("v", 3) as i16, &request);
        self.say(response.error_code.name());
    }

    /// `offset A g t-0 5 v=5`: TxnOffsetCommit. `late=n`: n epochs behind; `gen=` of `member=`.
    pub(super) fn offset(&mut self, words: &Words) {
        self.find(0, words.plain[1]);
        let producer = self.producers[words.plain[0]].clone();
        let (name, partition_index) = partition_of(words.plain[2]);
        let partition = TxnOffsetCommitRequestPartition {
            partition_index,
            committed_offset: words.plain[3].parse().expect("an offset"),
            ..Default::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: producer.transactional_id.unwrap_or_default(),
            group_id: words.plain[1].to_owned(),
            producer_id: producer.id,
            producer_epoch: producer.epoch - words.number("late", 0) as i16,
            generation_id_or_member_epoch: words.number("gen", -1) as i32,
            member_id: words.options.get("member").map_or_else(String::new, |m| (*m).to_owned()),
            topics: vec![TxnOffsetCommitRequestTopic { name, partitions: vec![partition] }],
            ..Default::default()
        };
        let response = self.world.call(3, words.number("v", 3) as i16, &request);
        self.say(response.topics[0].partitions[0].error_code.name());
    }

    /// `committed g t-0`; `stable`: not while a transaction may change it.
    pub(super) fn committed(&mut self, words: &Words) {
        let (name, partition) = partition_of(words.plain[1]);
        let topic = OffsetFetchRequestTopics {
            name,
            partition_indexes: vec![partition],
            ..Default::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: words.plain[0].to_owned(),
            topics: Some(vec![topic]),
            ..Default::default()
        };
        let require_stable = words.has("stable");
        let request =
            OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
        let response = self.world.call(3, 8, &request);
        let row = &response.groups[0].topics[0].partitions[0];
        match row.error_code {
            ErrorCode::NONE => self.say(&format!("{}", row.committed_offset)),
            error => self.say(error.name()),
        }
    }
}
