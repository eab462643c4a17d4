//! Commands of scripts that look into a broker: producers, transactions, features, the quorum.

use super::script::{Script, Words, partition_of};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::describe_producers::TopicRequest;
use mainstem_protocol::messages::describe_quorum::{RequestPartitionData, RequestTopicData};
use mainstem_protocol::messages::describe_topic_partitions::{
    RequestCursor, TopicRequest as DescribedTopic,
};
use mainstem_protocol::messages::elect_leaders::TopicPartitions;
use mainstem_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use mainstem_protocol::messages::update_features::FeatureUpdateKey;
use mainstem_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use mainstem_protocol::messages::{
    ApiVersionsRequest, DescribeProducersRequest, DescribeQuorumRequest,
    DescribeTopicPartitionsRequest, DescribeTransactionsRequest, ElectLeadersRequest,
    ListTransactionsRequest, OffsetForLeaderEpochRequest, UpdateFeaturesRequest,
    WriteTxnMarkersRequest,
};

impl Script {
    pub(super) fn inspect(&mut self, command: &str, words: &Words) {
        match command {
            "producers" => self.producers(words),
            "transactions" => self.transactions(words),
            "transaction" => self.transaction(words),
            "mark" => self.mark(words),
            "elect" => self.elect(words),
            "pages" => self.pages(words),
            "quorum" => self.quorum(words),
            "features" => self.features(words),
            "level" => self.level(words),
            "epoch-end" => self.epoch_end(words),
            other => panic!("no command {other}"),
        }
    }

    /// `producers t-0 u-0`.
    fn producers(&mut self, words: &Words) {
        let topics = words.plain.iter().map(|word| {
            let (name, partition) = partition_of(word);
            TopicRequest { name, partition_indexes: vec![partition] }
        });
        let request = DescribeProducersRequest { topics: topics.collect() };
        for topic in self.world.call(4, 0, &request).topics {
            for row in topic.partitions {
                let (error, index) = (row.error_code.name(), row.partition_index);
                self.say(&format!("{}-{index} {error}", topic.name));
                for it in row.active_producers {
                    self.say(&format!(
                        "  {}:{} sequence={} coordinator={} open={}",
                        it.producer_id,
                        it.producer_epoch,
                        it.last_sequence,
                        it.coordinator_epoch,
                        it.current_txn_start_offset
                    ));
                }
            }
        }
    }

    /// `transactions states=Ongoing older=5 pattern=a.*`.
    fn transactions(&mut self, words: &Words) {
        let states = words.options.get("states").into_iter().flat_map(|text| text.split(','));
        let request = ListTransactionsRequest {
            state_filters: states.map(str::to_owned).collect(),
            duration_filter: words.number("older", -1),
            transactional_id_pattern: words.options.get("pattern").map(|text| (*text).to_owned()),
            ..Default::default()
        };
        let response = self.world.call(4, 2, &request);
        if response.error_code != ErrorCode::NONE {
            self.say(response.error_code.name());
        }
        for it in response.transaction_states {
            self.say(&format!(
                "{} {} {}",
                it.transactional_id, it.producer_id, it.transaction_state
            ));
        }
    }

    /// `transaction a b`.
    fn transaction(&mut self, words: &Words) {
        let transactional_ids = words.plain.iter().map(|id| (*id).to_owned()).collect();
        let request = DescribeTransactionsRequest { transactional_ids };
        for it in self.world.call(4, 0, &request).transaction_states {
            let id = it.transactional_id;
            if it.error_code != ErrorCode::NONE {
                self.say(&format!("{id} {}", it.error_code.name()));
                continue;
            }
            let (state, pid, epoch) = (it.transaction_state, it.producer_id, it.producer_epoch);
            let topics =
                it.topics.iter().map(|topic| format!(" {}{:?}", topic.topic, topic.partitions));
            self.say(&format!("{id} {state} {pid}:{epoch}{}", topics.collect::<String>()));
        }
    }

    /// `mark t-0 t-1 as=A commit coordinator=7 tv=2 v=2`: an operator ends a transaction.
    fn mark(&mut self, words: &Words) {
        let producer = self.producers[words.options["as"]].clone();
        let topics = words.plain.iter().filter(|word| word.contains('-')).map(|word| {
            let (name, partition) = partition_of(word);
            WritableTxnMarkerTopic { name, partition_indexes: vec![partition] }
        });
        let marker = WritableTxnMarker {
            producer_id: producer.id,
            producer_epoch: words.number("epoch", producer.epoch.into()) as i16,
            transaction_result: words.has("commit"),
            topics: topics.collect(),
            coordinator_epoch: words.number("coordinator", 0) as i32,
            transaction_version: words.number("tv", 0) as i8,
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker] };
        let response = self.world.call(4, words.number("v", 2) as i16, &request);
        for topic in &response.markers[0].topics {
            for row in &topic.partitions {
                let (index, error) = (row.partition_index, row.error_code.name());
                self.say(&format!("{}-{index} {error}", topic.name));
            }
        }
    }

    /// `elect t-0 x-0 type=1`, or `elect all`.
    fn elect(&mut self, words: &Words) {
        let topics = words.plain.iter().map(|word| {
            let (topic, partition) = partition_of(word);
            TopicPartitions { topic, partitions: vec![partition] }
        });
        let request = ElectLeadersRequest {
            election_type: words.number("type", 0) as i8,
            topic_partitions: (!words.has("all")).then(|| topics.collect()),
            ..Default::default()
        };
        let response = self.world.call(4, 2, &request);
        if response.error_code != ErrorCode::NONE {
            self.say(response.error_code.name());
        }
        for topic in response.replica_election_results {
            let row = |row: &mainstem_protocol::messages::elect_leaders::PartitionResult| {
                format!(" {}:{}", row.partition_id, row.error_code.name())
            };
            let rows = topic.partition_result.iter().map(row).collect::<String>();
            self.say(&format!("{}{rows}", topic.topic));
        }
    }

    /// `pages t u limit=2 from=t-1`; no topic: all of them.
    fn pages(&mut self, words: &Words) {
        let topics = words.plain.iter().map(|name| DescribedTopic { name: (*name).to_owned() });
        let cursor = words.options.get("from").map(|word| {
            let (topic_name, partition_index) = match word.split_once("--") {
                Some((name, index)) => (name.to_owned(), -index.parse::<i32>().expect("a number")),
                None => partition_of(word),
            };
            RequestCursor { topic_name, partition_index }
        });
        let request = DescribeTopicPartitionsRequest {
            topics: topics.collect(),
            response_partition_limit: words.number("limit", 2_000) as i32,
            cursor,
        };
        let response = self.world.call(4, 0, &request);
        for topic in response.topics {
            let (name, error) = (topic.name.unwrap_or_default(), topic.error_code.name());
            let rows = topic.partitions.iter();
            let rows: Vec<i32> = rows.map(|row| row.partition_index).collect();
            self.say(&format!("{name} {error} {rows:?}"));
        }
        if let Some(next) = response.next_cursor {
            self.say(&format!("next {}-{}", next.topic_name, next.partition_index));
        }
    }

    /// `quorum`, or `quorum t-0` for a topic that has none.
    fn quorum(&mut self, words: &Words) {
        let asked = words.plain.first().unwrap_or(&"__cluster_metadata-0");
        let (topic_name, partition_index) = partition_of(asked);
        let partitions = vec![RequestPartitionData { partition_index }];
        let request =
            DescribeQuorumRequest { topics: vec![RequestTopicData { topic_name, partitions }] };
        let response = self.world.call(4, 2, &request);
        let row = &response.topics[0].partitions[0];
        let voters = row.current_voters.iter();
        let voters: Vec<String> =
            voters.map(|it| format!("{}@{}", it.replica_id, it.log_end_offset)).collect();
        let (leader, epoch, end) = (row.leader_id, row.leader_epoch, row.high_watermark);
        let (error, voters) = (row.error_code.name(), voters.join(" "));
        self.say(&format!("{error} leader={leader} epoch={epoch} hw={end} voters=[{voters}]"));
    }

    /// `features v=4`: supported and finalized.
    fn features(&mut self, words: &Words) {
        let request = ApiVersionsRequest {
            client_software_name: "test".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let version = words.number("v", 4) as i16;
        let response = self.world.call(4, version, &request);
        for it in response.supported_features {
            self.say(&format!("supported {} {}-{}", it.name, it.min_version, it.max_version));
        }
        for it in response.finalized_features {
            assert_eq!(it.min_version_level, it.max_version_level);
            self.say(&format!("finalized {} {}", it.name, it.max_version_level));
        }
        // Before version 3 there are no features, and the epoch says so.
        assert_eq!(3 <= version, 0 <= response.finalized_features_epoch);
    }

    /// `level transaction.version=1 down v=2`.
    fn level(&mut self, words: &Words) {
        let version = words.number("v", 2) as i16;
        let names = words.options.iter().filter(|(name, _)| name.contains('.'));
        let update = |(name, level): (&&str, &&str)| FeatureUpdateKey {
            feature: (*name).to_owned(),
            max_version_level: level.parse().expect("a level"),
            allow_downgrade: version == 0 && words.has("down"),
            upgrade_type: if version != 0 && words.has("down") { 2 } else { 1 },
        };
        let request = UpdateFeaturesRequest {
            feature_updates: names.map(update).collect(),
            validate_only: words.has("try"),
            ..Default::default()
        };
        let response = self.world.call(4, version, &request);
        let rows = response.results.len();
        self.say(&format!("{} results={rows}", response.error_code.name()));
    }

    /// `epoch-end t-0 3`.
    fn epoch_end(&mut self, words: &Words) {
        let (topic, partition) = partition_of(words.plain[0]);
        let asked = OffsetForLeaderPartition {
            partition,
            current_leader_epoch: words.number("current", -1) as i32,
            leader_epoch: words.plain[1].parse().expect("an epoch"),
        };
        let topics = vec![OffsetForLeaderTopic { topic, partitions: vec![asked] }];
        let request = OffsetForLeaderEpochRequest { topics, ..Default::default() };
        let response = self.world.call(4, 4, &request);
        let row = &response.topics[0].partitions[0];
        let (error, epoch) = (row.error_code.name(), row.leader_epoch);
        self.say(&format!("{error} epoch={epoch} end={}", row.end_offset));
    }
}
