//! The controller, as a conversation: a command, then what it answers and writes.
//!
//! `create t partitions=3 replicas=2 retention.ms=5`, `delete t`, `delete-id t`, `grow t 5`, `ids`,
//! `restart 1`, `features transaction.version=1 down` (`up` unless it says else, `old-down` is the
//! flag of version 0, `try` only looks). The cluster has the brokers 1 to 3.

use mainstem_metadata::{Command, ControllerSettings, Image, MetadataRecord, Reply, decide};
use mainstem_platform::SeededRandom;
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use mainstem_protocol::messages::delete_topics::DeleteTopicState;
use mainstem_protocol::messages::records::PartitionRecord;
use mainstem_protocol::messages::update_features::FeatureUpdateKey;
use mainstem_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, UpdateFeaturesRequest,
};
use mainstem_protocol::{BrokerId, PartitionIndex, TopicId};

struct Controller {
    image: Image,
    settings: ControllerSettings,
    random: SeededRandom,
    log: Vec<MetadataRecord>,
}

impl Controller {
    fn new() -> Self {
        let settings = ControllerSettings {
            brokers: (1..=3).map(BrokerId).collect(),
            default_partitions: 2,
            partitions_per_topic_max: 100,
            partitions_max: 150,
            ..ControllerSettings::default()
        };
        let (image, random) = (Image::new(), SeededRandom::new(3));
        Self { image, settings, random, log: Vec::new() }
    }

    fn play(&mut self, line: &str) -> String {
        let command = self.parse(line);
        let decision = decide(&self.image, &self.settings, &mut self.random, &command);
        for record in &decision.records {
            self.image.apply(record).expect("a decision fits the image it was taken on");
        }
        let drawn = draw(&decision.reply, decision.records.len());
        self.log.extend(decision.records);
        drawn
    }

    fn parse(&self, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "create" | "try" => {
                let topics = line.split(';').map(|part| topic(part.trim()));
                Command::CreateTopics(CreateTopicsRequest {
                    topics: topics.collect(),
                    timeout_ms: 1_000,
                    validate_only: words[0] == "try",
                })
            }
            "delete" => Command::DeleteTopics(DeleteTopicsRequest {
                topic_names: words[1..].iter().map(|name| (*name).to_owned()).collect(),
                ..DeleteTopicsRequest::default()
            }),
            "delete-id" => {
                let id = self.image.topic(words[1]).map_or(TopicId([9; 16]), |topic| topic.id);
                let both = words.get(2).map(|name| (*name).to_owned());
                Command::DeleteTopics(DeleteTopicsRequest {
                    topics: vec![DeleteTopicState { name: both, topic_id: id }],
                    ..DeleteTopicsRequest::default()
                })
            }
            "grow" => Command::CreatePartitions(CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: words[1].to_owned(),
                    count: words[2].parse().expect("a count"),
                    assignments: None,
                }],
                ..CreatePartitionsRequest::default()
            }),
            "features" => Command::UpdateFeatures(features(&words)),
            "ids" => Command::AllocateProducerIds { broker: BrokerId(1) },
            "restart" => Command::RestartBroker { broker: BrokerId(1) },
            other => panic!("no command {other}"),
        }
    }
}

fn features(words: &[&str]) -> UpdateFeaturesRequest {
    let upgrade_type = match words.iter().find(|word| ["down", "unsafe", "sideways"].contains(word))
    {
        Some(&"down") => 2,
        Some(&"unsafe") => 3,
        Some(_) => 9,
        None => 1,
    };
    let update = |(name, level): (&str, &str)| FeatureUpdateKey {
        feature: name.to_owned(),
        max_version_level: level.parse().expect("a level"),
        allow_downgrade: words.contains(&"old-down"),
        upgrade_type,
    };
    UpdateFeaturesRequest {
        feature_updates: words.iter().filter_map(|w| w.split_once('=')).map(update).collect(),
        validate_only: words.contains(&"try"),
        ..UpdateFeaturesRequest::default()
    }
}

fn topic(part: &str) -> CreatableTopic {
    let words = part.split_whitespace().filter(|word| !["create", "try"].contains(word));
    let mut topic =
        CreatableTopic { num_partitions: -1, replication_factor: -1, ..Default::default() };
    for word in words {
        match word.split_once('=') {
            None => word.clone_into(&mut topic.name),
            Some(("name", name)) => name.clone_into(&mut topic.name),
            Some(("partitions", n)) => topic.num_partitions = n.parse().expect("a number"),
            Some(("replicas", n)) => topic.replication_factor = n.parse().expect("a number"),
            Some(("on", all)) => {
                let brokers = |text: &str| text.split(',').filter_map(|b| b.parse().ok()).collect();
                let on = |(index, text)| CreatableReplicaAssignment {
                    partition_index: index,
                    broker_ids: brokers(text),
                };
                topic.assignments = (0..).zip(all.split('/')).map(on).collect();
            }
            Some((name, value)) => topic.configs.push(CreatableTopicConfig {
                name: name.to_owned(),
                value: (value != "null").then(|| value.to_owned()),
            }),
        }
    }
    topic
}

fn draw(reply: &Reply, records: usize) -> String {
    let lines: Vec<String> = match reply {
        Reply::CreateTopics(response) => {
            let topic =
                |t: &mainstem_protocol::messages::create_topics::CreatableTopicResult| match &t
                    .error_message
                {
                    Some(message) => format!("{}: {message}", t.error_code.name()),
                    None => format!("{} {}x{}", t.name, t.num_partitions, t.replication_factor),
                };
            response.topics.iter().map(topic).collect()
        }
        Reply::DeleteTopics(response) => {
            let topic = |t: &mainstem_protocol::messages::delete_topics::DeletableTopicResult| {
                format!("{} {}", t.name.as_deref().unwrap_or("-"), t.error_code.name())
            };
            response.responses.iter().map(topic).collect()
        }
        Reply::CreatePartitions(response) => {
            let topic = |t: &mainstem_protocol::messages::create_partitions::CreatePartitionsTopicResult| {
                format!("{} {}", t.error_code.name(), t.error_message.as_deref().unwrap_or(""))
            };
            response.results.iter().map(topic).collect()
        }
        Reply::UpdateFeatures(response) => {
            let all = response.results.iter().all(|row| row.error_code == response.error_code);
            assert!(all, "the features of a request have one fate");
            let message = response.error_message.as_deref().unwrap_or_default();
            vec![format!("{} {message}", response.error_code.name())]
        }
        Reply::ProducerIds { first, count } => vec![format!("{first}+{count}")],
        Reply::NoProducerIdsLeft => vec!["none left".to_owned()],
        Reply::BrokerRestarted { partitions } => vec![format!("{partitions} partitions")],
        other => panic!("not a word of this conversation: {other:?}"),
    };
    format!("{} [{records}]", lines.join("; "))
}

/// The number in brackets counts the records.
const CONVERSATION: &[(&str, &str)] = &[
    ("create t", "t 2x1 [3]"),
    ("create t", "TOPIC_ALREADY_EXISTS: Topic 't' already exists. [0]"),
    ("create u partitions=3 replicas=3 retention.ms=5 cleanup.policy=compact", "u 3x3 [6]"),
    ("try v", "v 2x1 [0]"),
    (
        "create v; create v",
        "INVALID_REQUEST: Duplicate topic name.; INVALID_REQUEST: Duplicate topic name. [0]",
    ),
    ("create a.b", "a.b 2x1 [3]"),
    ("create a_b", "INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b [0]"),
    (
        "create c.d; create c_d",
        "c.d 2x1; INVALID_TOPIC_EXCEPTION: Topic 'c_d' collides with existing topic: another topic of this request [3]",
    ),
    (
        "create name=",
        "INVALID_TOPIC_EXCEPTION: Topic name is invalid: the empty string is not allowed [0]",
    ),
    ("create ..", "INVALID_TOPIC_EXCEPTION: Topic name is invalid: '..' is not allowed [0]"),
    (
        "create w/x",
        "INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'w/x' contains one or more characters other than ASCII \
         alphanumerics, '.', '_' and '-' [0]",
    ),
    (
        "create __cluster_metadata",
        "INVALID_TOPIC_EXCEPTION: Creation of internal topic __cluster_metadata is prohibited. [0]",
    ),
    (
        "create w partitions=0",
        "INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value. [0]",
    ),
    ("create w partitions=101", "INVALID_PARTITIONS: A topic may have at most 100 partitions. [0]"),
    (
        "create w replicas=0",
        "INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value. [0]",
    ),
    (
        "create w replicas=4",
        "INVALID_REPLICATION_FACTOR: Unable to replicate the partition 4 time(s): The target replication factor of 4 \
         cannot be reached because only 3 broker(s) are registered. [0]",
    ),
    ("create w on=1,2/2,3", "w 2x2 [3]"),
    (
        "create x on=1 replicas=1",
        "INVALID_REQUEST: A manual partition assignment was specified, but replication factor was not set to -1. [0]",
    ),
    (
        "create x on=1 partitions=1",
        "INVALID_REQUEST: A manual partition assignment was specified, but numPartitions was not set to -1. [0]",
    ),
    (
        "create x on=7",
        "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 7, but no such broker is \
         registered. [0]",
    ),
    (
        "create x on=1,1",
        "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 1 more than once. [0]",
    ),
    (
        "create x on=1,2/3",
        "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes partitions with different numbers of \
         replicas. [0]",
    ),
    ("create x bad.name=1", "INVALID_CONFIG: Unknown topic config name: bad.name [0]"),
    (
        "create x retention.ms=null",
        "INVALID_CONFIG: Null value not supported for topic configs: retention.ms [0]",
    ),
    (
        "create x segment.ms=0 bad.name=1 retention.ms=null flush.ms=-1",
        "INVALID_CONFIG: Null value not supported for topic configs: retention.ms; Unknown topic config name: \
         bad.name; Invalid value -1 for configuration flush.ms: Value must be at least 0; Invalid value 0 for \
         configuration segment.ms: Value must be at least 1 [0]",
    ),
    ("create x partitions=100", "x 100x1 [101]"),
    (
        "create y partitions=100",
        "POLICY_VIOLATION: The cluster may have at most 150 partitions. [0]",
    ),
    ("grow t 5", "NONE  [3]"),
    ("grow t 5", "INVALID_PARTITIONS Topic already has 5 partition(s). [0]"),
    (
        "grow t 4",
        "INVALID_PARTITIONS The topic t currently has 5 partition(s); 4 would not be an increase. [0]",
    ),
    (
        "grow gone 4",
        "UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition. [0]",
    ),
    ("delete x gone x", "x NONE; gone UNKNOWN_TOPIC_OR_PARTITION; x INVALID_REQUEST [1]"),
    ("delete-id u", "u NONE [1]"),
    ("delete-id u", "- UNKNOWN_TOPIC_ID [0]"),
    ("delete-id t t", "t INVALID_REQUEST [0]"),
    ("create u", "u 2x1 [3]"),
    ("ids", "0+1000 [1]"),
    ("ids", "1000+1000 [1]"),
    ("features transaction.version=2", "NONE  [0]"),
    (
        "features transaction.version=1",
        "INVALID_UPDATE_VERSION Feature transaction.version is at level 2; lowering it to 1 needs a \
         downgrade type. [0]",
    ),
    ("features transaction.version=1 down try", "NONE  [0]"),
    ("features transaction.version=1 down", "NONE  [1]"),
    ("features transaction.version=0 unsafe", "NONE  [1]"),
    ("features transaction.version=1 try", "NONE  [0]"),
    ("features transaction.version=1", "NONE  [1]"),
    ("features transaction.version=0 old-down", "NONE  [1]"),
    (
        "features transaction.version=2 down",
        "INVALID_UPDATE_VERSION Feature transaction.version is at level 0; 2 would not be a downgrade. [0]",
    ),
    (
        "features transaction.version=2 sideways",
        "INVALID_UPDATE_VERSION There is no upgrade type 9. [0]",
    ),
    (
        "features transaction.version=3",
        "INVALID_UPDATE_VERSION Feature transaction.version supports levels 0 to 2, not 3. [0]",
    ),
    (
        "features metadata.version=29 unsafe",
        "INVALID_UPDATE_VERSION Feature metadata.version supports levels 30 to 30, not 29. [0]",
    ),
    ("features magic=1", "INVALID_UPDATE_VERSION Feature magic is not supported. [0]"),
    // One wrong update takes the others with it.
    (
        "features transaction.version=2 magic=1",
        "INVALID_UPDATE_VERSION Feature magic is not supported. [0]",
    ),
    (
        "features transaction.version=1 transaction.version=2",
        "INVALID_REQUEST Feature transaction.version is updated twice. [0]",
    ),
    ("features transaction.version=2", "NONE  [1]"),
];

#[test]
fn the_controller_answers_as_written() {
    let mut controller = Controller::new();
    for (line, expected) in CONVERSATION {
        assert_eq!(controller.play(line), *expected, "{line}");
    }
    assert!(controller.image.topic("u").expect("made again").configs.is_empty());
}

#[test]
fn a_replay_of_the_bytes_gives_the_same_image() {
    let mut controller = Controller::new();
    for (line, _) in CONVERSATION {
        controller.play(line);
    }
    let mut image = Image::new();
    for record in &controller.log {
        let bytes = record.encode().expect("every record of ours has bytes");
        let read = MetadataRecord::decode(bytes).expect("and can be read");
        assert_eq!(read, *record);
        image.apply(&read).expect("the log is in order");
    }
    assert_eq!(image, controller.image);
}

#[test]
fn a_restart_raises_the_epoch_of_what_the_broker_leads() {
    let mut controller = Controller::new();
    controller.play("create t on=1,2/2,1/1,3");
    assert_eq!(controller.play("restart 1"), "2 partitions [2]");
    let topic = controller.image.topic("t").expect("made above");
    let epochs = (0..3).map(|index| topic.partition(PartitionIndex(index)).expect("made above"));
    let epochs: Vec<(i32, i32)> = epochs.map(|p| (p.leader.0, p.leader_epoch.0)).collect();
    assert_eq!(epochs, [(1, 1), (2, 0), (1, 1)]);
}

#[test]
fn a_log_that_contradicts_itself_is_refused() {
    let mut controller = Controller::new();
    controller.play("create t");
    let first = controller.log[0].clone();
    assert!(controller.image.apply(&first).is_err(), "a topic is not made twice");
    let mut empty = Image::new();
    assert!(empty.apply(&controller.log[1]).is_err(), "a partition needs its topic");
}

/// Records that others have written may hold more than ours do. (Found by fuzzing.)
#[test]
fn a_record_is_written_at_the_lowest_version_that_holds_it() {
    for (directories, version) in [(vec![], 0), (vec![Default::default()], 1)] {
        let record = PartitionRecord { directories, ..PartitionRecord::default() };
        let bytes = MetadataRecord::Partition(record.clone()).encode().expect("can be written");
        assert_eq!(bytes[2], version);
        let read = MetadataRecord::decode(bytes).expect("and can be read");
        assert_eq!(read, MetadataRecord::Partition(record));
    }
}

#[test]
fn records_have_the_layout_of_kraft() {
    let mut controller = Controller::new();
    controller.play("create t partitions=1");
    let bytes = controller.log[0].encode().expect("bytes");
    // Frame version 1, type 2 (topic), version 0, a compact string, an id, no tagged fields.
    assert_eq!(&bytes[..5], [1, 2, 0, 2, b't']);
    assert_eq!(bytes.len(), 5 + 16 + 1);
    for damaged in [vec![], vec![2, 2, 0], vec![1, 99, 0], vec![1, 2, 0, 200], vec![1, 2, 9]] {
        assert!(MetadataRecord::decode(damaged.into()).is_err());
    }
}
