//! Configurations, as a conversation: a change, then what is answered and written.
//!
//! `change topic t set retention.ms=5, delete segment.ms, append cleanup.policy=compact` is
//! IncrementalAlterConfigs, `replace topic t retention.ms=5` is AlterConfigs; `try` before either
//! only validates; resources are separated by `;`. `show topic t` prints what is set. The number in
//! brackets counts the records. The brokers are 1 and 2, `inner` is a topic of the broker's own.

use mainstem_metadata::{
    Command, Configs, ControllerSettings, Image, MetadataRecord, Reply, decide,
};
use mainstem_platform::SeededRandom;
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, alter_configs, incremental_alter_configs,
};
use mainstem_protocol::{BrokerId, ErrorCode};

struct Controller {
    image: Image,
    settings: ControllerSettings,
    log: Vec<MetadataRecord>,
}

impl Controller {
    fn new() -> Self {
        let settings = ControllerSettings {
            brokers: vec![BrokerId(1), BrokerId(2)],
            internal_topics: &["inner"],
            configured_groups_max: 2,
            resources_per_request_max: 3,
            group_settings: [
                ("group.consumer.min.heartbeat.interval.ms".to_owned(), "3000".to_owned()),
                ("group.consumer.max.heartbeat.interval.ms".to_owned(), "50000".to_owned()),
            ]
            .into(),
            ..ControllerSettings::default()
        };
        let mut controller = Self { image: Image::new(), settings, log: Vec::new() };
        for name in ["t", "u", "inner"] {
            let compact = CreatableTopicConfig {
                name: "cleanup.policy".to_owned(),
                value: Some("compact".to_owned()),
            };
            let topic = CreatableTopic {
                name: name.to_owned(),
                num_partitions: 1,
                replication_factor: 1,
                configs: if name == "inner" { vec![compact] } else { Vec::new() },
                ..CreatableTopic::default()
            };
            let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
            controller.carry_out(&Command::CreateTopics(request));
        }
        controller
    }

    fn carry_out(&mut self, command: &Command) -> (Reply, usize) {
        let decision = decide(
            &self.image,
            &self.settings,
            &mut SeededRandom::new(self.log.len() as u64),
            command,
        );
        for record in &decision.records {
            self.image.apply(record).expect("a decision fits the image it was taken on");
        }
        let count = decision.records.len();
        self.log.extend(decision.records);
        (decision.reply, count)
    }

    fn play(&mut self, line: &str) -> String {
        let (command, rest) = line.split_once(' ').expect("a command and its words");
        match command {
            "show" => self.show(rest),
            "delete" => {
                let topic_names = vec![rest.to_owned()];
                let request = DeleteTopicsRequest { topic_names, ..Default::default() };
                let (_, count) = self.carry_out(&Command::DeleteTopics(request));
                format!("[{count}]")
            }
            "grow" => self.grow(rest),
            _ => self.alter(line),
        }
    }

    fn show(&self, rest: &str) -> String {
        let none = Configs::new();
        let configs = match rest.split_once(' ').unwrap_or((rest, "")) {
            ("topic", name) => self.image.topic(name).map_or(&none, |topic| &topic.configs),
            ("broker", "") => self.image.all_brokers_configs(),
            ("broker", id) => self.image.broker_configs(BrokerId(id.parse().expect("an id"))),
            ("group", name) => self.image.group_configs(name),
            (other, _) => panic!("no resource {other}"),
        };
        let pairs: Vec<String> =
            configs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    }

    fn grow(&mut self, rest: &str) -> String {
        let topic = |part: &str| {
            let (name, count) = part.trim().split_once(' ').expect("a topic and a count");
            let count = count.parse().expect("a count");
            CreatePartitionsTopic { name: name.to_owned(), count, assignments: None }
        };
        let topics = rest.split(';').map(topic).collect();
        let request = CreatePartitionsRequest { topics, ..Default::default() };
        let (reply, count) = self.carry_out(&Command::CreatePartitions(request));
        let Reply::CreatePartitions(response) = reply else { panic!("another answer: {reply:?}") };
        let each =
            response.results.into_iter().map(|topic| (topic.error_code, topic.error_message));
        draw(each, count)
    }

    fn alter(&mut self, line: &str) -> String {
        let (validate_only, line) = match line.strip_prefix("try ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (command, rest) = line.split_once(' ').expect("a command");
        let parts = rest.split(';').map(str::trim);
        if command == "replace" {
            let resources = parts.map(replaced).collect();
            let request = AlterConfigsRequest { resources, validate_only };
            let (reply, count) = self.carry_out(&Command::AlterConfigs(request));
            let Reply::AlterConfigs(response) = reply else { panic!("another answer: {reply:?}") };
            draw(response.responses.into_iter().map(|r| (r.error_code, r.error_message)), count)
        } else {
            let resources = parts.map(changed).collect();
            let request = IncrementalAlterConfigsRequest { resources, validate_only };
            let (reply, count) = self.carry_out(&Command::IncrementalAlterConfigs(request));
            let Reply::IncrementalAlterConfigs(response) = reply else {
                panic!("another answer: {reply:?}")
            };
            draw(response.responses.into_iter().map(|r| (r.error_code, r.error_message)), count)
        }
    }
}

/// `topic t ...`: the resource and what follows. The cluster's brokers are called `all`.
fn resource(part: &str) -> (i8, String, &str) {
    let (kind, rest) = part.split_once(' ').expect("a type and a name");
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let kind = match kind {
        "topic" => 2,
        "broker" => 4,
        "group" => 32,
        number => number.parse().expect("a number"),
    };
    (kind, name.replace("all", ""), rest)
}

fn pair(text: &str) -> (String, Option<String>) {
    let (name, value) = text.split_once('=').unwrap_or((text, "null"));
    (name.to_owned(), (value != "null").then(|| value.to_owned()))
}

fn replaced(part: &str) -> alter_configs::AlterConfigsResource {
    let (resource_type, resource_name, rest) = resource(part);
    let config = |word| {
        let (name, value) = pair(word);
        alter_configs::AlterableConfig { name, value }
    };
    let configs = rest.split_whitespace().map(config).collect();
    alter_configs::AlterConfigsResource { resource_type, resource_name, configs }
}

fn changed(part: &str) -> incremental_alter_configs::AlterConfigsResource {
    let (resource_type, resource_name, rest) = resource(part);
    let config = |text: &str| {
        let (operation, text) = text.trim().split_once(' ').expect("an operation and a name");
        let (name, value) = pair(text);
        let names = ["set", "delete", "append", "subtract", "bend"];
        let operation = names.iter().position(|name| *name == operation).expect("an operation");
        incremental_alter_configs::AlterableConfig {
            name,
            config_operation: operation as i8,
            value,
        }
    };
    // A list has its commas without a blank behind them.
    let configs = rest.split(", ").filter(|text| !text.is_empty()).map(config).collect();
    incremental_alter_configs::AlterConfigsResource { resource_type, resource_name, configs }
}

fn draw(results: impl Iterator<Item = (ErrorCode, Option<String>)>, records: usize) -> String {
    let one = |(code, message): (ErrorCode, Option<String>)| match message {
        Some(message) => format!("{}: {message}", code.name()),
        None => code.name().to_owned(),
    };
    let lines: Vec<String> = results.map(one).collect();
    format!("{} [{records}]", lines.join("; "))
}

const CONVERSATION: &[(&str, &str)] = &[
    // Incremental changes.
    ("change topic t set retention.ms=5, set segment.ms=7", "NONE [2]"),
    ("show topic t", "retention.ms=5 segment.ms=7"),
    ("change topic t set retention.ms= 5 ", "NONE [0]"),
    ("try change topic t set retention.ms=6", "NONE [0]"),
    ("change topic t delete segment.ms, delete flush.policy", "NONE [1]"),
    ("change topic t append cleanup.policy=compact", "NONE [1]"),
    ("show topic t", "cleanup.policy=delete,compact retention.ms=5"),
    ("change topic t append cleanup.policy=compact,delete", "NONE [0]"),
    ("change topic t subtract cleanup.policy=delete", "NONE [1]"),
    ("show topic t", "cleanup.policy=compact retention.ms=5"),
    (
        "change topic t subtract cleanup.policy=compact",
        "INVALID_CONFIG: Invalid value  for configuration cleanup.policy: The list must not be empty [0]",
    ),
    (
        "change topic t append retention.ms=5",
        "INVALID_CONFIG: Can't APPEND to key retention.ms because its type is not LIST. [0]",
    ),
    (
        "change topic t subtract no.such=5",
        "INVALID_CONFIG: Can't SUBTRACT to key no.such because its type is not LIST. [0]",
    ),
    ("change topic t bend retention.ms=5", "INVALID_REQUEST: Unknown operations type 4 [0]"),
    // One wrong value spoils the resource, all wrong values are named, other resources are not touched.
    (
        "change topic t set retention.ms=9, set no.such=1, set preallocate=true; topic u set retention.ms=9",
        "INVALID_CONFIG: Unknown topic config name: no.such; Invalid value true for configuration preallocate: this \
         broker only has false; segments grow as they are written; NONE [1]",
    ),
    ("show topic t", "cleanup.policy=compact retention.ms=5"),
    (
        "change topic t set retention.ms=1, set retention.ms=2",
        "INVALID_REQUEST: Error due to duplicate config keys [0]",
    ),
    (
        "change topic t set retention.ms=null, set segment.ms=null, delete flush.policy",
        "INVALID_REQUEST: Null value not supported for : retention.ms, segment.ms [0]",
    ),
    (
        "change topic t set retention.ms=1; topic u set retention.ms=1; topic t delete retention.ms",
        "INVALID_REQUEST: Each resource must appear at most once.; NONE; INVALID_REQUEST: Each resource must appear \
         at most once. [1]",
    ),
    (
        "change topic t set retention.ms=1; topic u set retention.ms=2; broker 1; broker 2",
        "NONE; NONE; NONE; POLICY_VIOLATION: Too many resources in one request. [2]",
    ),
    // Two values that contradict each other are mended together.
    ("change topic t set min.compaction.lag.ms=5", "NONE [1]"),
    (
        "change topic t set max.compaction.lag.ms=4",
        "INVALID_CONFIG: Invalid configuration: conflict topic config setting min.compaction.lag.ms > \
         max.compaction.lag.ms [0]",
    ),
    ("change topic t set max.compaction.lag.ms=4, set min.compaction.lag.ms=3", "NONE [2]"),
    // Topics that are not there.
    (
        "change topic gone set retention.ms=1",
        "UNKNOWN_TOPIC_OR_PARTITION: The topic 'gone' does not exist. [0]",
    ),
    (
        "change topic a/b set retention.ms=1",
        "INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'a/b' contains one or more characters other than ASCII \
         alphanumerics, '.', '_' and '-' [0]",
    ),
    (
        "change topic all set retention.ms=1",
        "INVALID_REQUEST: Default topic resources are not allowed. [0]",
    ),
    // The broker's own topics.
    (
        "change topic inner set cleanup.policy=delete, set segment.ms=1",
        "POLICY_VIOLATION: The cleanup policy of inner cannot be changed: the broker relies upon it. [0]",
    ),
    (
        "replace topic inner segment.ms=1",
        "POLICY_VIOLATION: The cleanup policy of inner cannot be changed: the broker relies upon it. [0]",
    ),
    ("replace topic inner segment.ms=1 cleanup.policy=compact", "NONE [1]"),
    (
        "grow inner 3",
        "INVALID_TOPIC_EXCEPTION: The broker keeps the number of partitions of inner itself. [0]",
    ),
    ("grow u 2; t 3; u 4", "INVALID_REQUEST: Duplicate topic name.; NONE [2]"),
    // The whole configuration at once.
    ("replace topic t flush.policy=os retention.ms=1", "NONE [4]"),
    ("show topic t", "flush.policy=os retention.ms=1"),
    ("try replace topic t", "NONE [0]"),
    ("replace topic t no.such=1", "INVALID_CONFIG: Unknown topic config name: no.such [0]"),
    (
        "replace topic t retention.ms=null",
        "INVALID_REQUEST: Null value not supported for : retention.ms [0]",
    ),
    ("replace topic t", "NONE [2]"),
    ("show topic t", ""),
    // Brokers: all of them, or one.
    ("change broker all set log.retention.ms=5, append log.cleanup.policy=compact", "NONE [2]"),
    ("show broker", "log.cleanup.policy=delete,compact log.retention.ms=5"),
    ("change broker 2 set num.partitions=3", "NONE [1]"),
    ("show broker 2", "num.partitions=3"),
    ("show broker 1", ""),
    (
        "change broker 7 set num.partitions=3",
        "INVALID_REQUEST: Unexpected broker id, expected 1, 2, but received 7 [0]",
    ),
    (
        "change broker 01 set num.partitions=3",
        "INVALID_REQUEST: Unexpected broker id, expected 1, 2, but received 01 [0]",
    ),
    (
        "change broker one set num.partitions=3",
        "INVALID_REQUEST: Node id must be an integer, but it is: one [0]",
    ),
    (
        "change broker 1 set node.id=3, set no.such=1, set num.partitions=0",
        "INVALID_REQUEST: Unknown broker config name: no.such; Cannot update these configs dynamically: node.id; \
         Invalid value 0 for configuration num.partitions: Value must be at least 1 [0]",
    ),
    ("replace broker all", "NONE [2]"),
    // Groups, whether they exist or not.
    ("change group g set consumer.session.timeout.ms=45000", "NONE [1]"),
    ("show group g", "consumer.session.timeout.ms=45000"),
    // The broker has ranges for them: 45000 to 60000 by default, and here 3000 to 50000.
    (
        "change group g set consumer.session.timeout.ms=44999",
        "INVALID_CONFIG: Invalid value 44999 for configuration consumer.session.timeout.ms: Value must be at least \
         45000, the broker's group.consumer.min.session.timeout.ms [0]",
    ),
    (
        "change group g set consumer.session.timeout.ms=60001, set consumer.heartbeat.interval.ms=2999",
        "INVALID_CONFIG: Invalid value 2999 for configuration consumer.heartbeat.interval.ms: Value must be at least \
         3000, the broker's group.consumer.min.heartbeat.interval.ms; Invalid value 60001 for configuration \
         consumer.session.timeout.ms: Value must be no more than 60000, the broker's \
         group.consumer.max.session.timeout.ms [0]",
    ),
    (
        "change group g set consumer.heartbeat.interval.ms=45000",
        "INVALID_CONFIG: Invalid configuration: consumer.session.timeout.ms must be greater than \
         consumer.heartbeat.interval.ms [0]",
    ),
    ("try change group g set consumer.heartbeat.interval.ms=44999", "NONE [0]"),
    (
        "change group g set share.auto.offset.reset=earliest, set retention.ms=5",
        "INVALID_CONFIG: Unknown group config name: retention.ms; Invalid value earliest for configuration \
         share.auto.offset.reset: this broker only has latest; there are no share groups [0]",
    ),
    (
        "change group all set consumer.session.timeout.ms=1",
        "INVALID_REQUEST: Default group resources are not allowed. [0]",
    ),
    (
        "change group h set consumer.session.timeout.ms=45000; group i set consumer.session.timeout.ms=45000",
        "NONE; POLICY_VIOLATION: At most 2 groups may have configurations. [1]",
    ),
    (
        "change group g delete consumer.session.timeout.ms; group i delete share.isolation.level",
        "NONE; NONE [1]",
    ),
    ("change group i set consumer.session.timeout.ms=45000", "NONE [1]"),
    // Other resources.
    ("change 16 m set interval.ms=5", "INVALID_REQUEST: Unknown resource type 16 [0]"),
    ("replace 8 1 kafka=INFO", "INVALID_REQUEST: Unknown resource type 8 [0]"),
    // A topic takes its configuration with it.
    ("delete u", "[1]"),
    ("show topic u", ""),
];

#[test]
fn configurations_change_as_written() {
    let mut controller = Controller::new();
    for (line, expected) in CONVERSATION {
        assert_eq!(controller.play(line), *expected, "{line}");
    }
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
        image.apply(&MetadataRecord::decode(bytes).expect("and can be read")).expect("in order");
    }
    assert_eq!(image, controller.image);
}

#[test]
fn long_group_ids_are_refused() {
    let mut controller = Controller::new();
    let line = format!("change group {} set consumer.session.timeout.ms=45000", "g".repeat(1_025));
    let expected = "INVALID_GROUP_ID: A group id may have at most 1024 bytes. [0]";
    assert_eq!(controller.play(&line), expected);
}
