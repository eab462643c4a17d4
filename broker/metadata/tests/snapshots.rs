//! An image can be written down as records: whatever was decided, they make an equal one.
//!
//! Random commands of every kind, with few enough names that they meet one another. After each of
//! them the image's records go through their bytes into an empty image.

use mainstem_metadata::{Command, ControllerSettings, Image, MetadataRecord, decide};
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::BrokerId;
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::messages::update_features::FeatureUpdateKey;
use mainstem_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, UpdateFeaturesRequest, alter_configs,
    incremental_alter_configs,
};
use std::collections::BTreeSet;

const TOPICS: [&str; 5] = ["t", "u", "v.w", "v_w", "x"];
/// Type and names of resources, and configurations with values that are good for them.
type Resources = (i8, &'static [&'static str], &'static [(&'static str, &'static str)]);
/// What may be configured.
const RESOURCES: [Resources; 3] = [
    (2, &TOPICS, &[("retention.ms", "5"), ("cleanup.policy", "compact"), ("flush.policy", "os")]),
    (4, &["", "1", "2"], &[("log.retention.ms", "7"), ("num.partitions", "3")]),
    (32, &["g", "h"], &[("consumer.session.timeout.ms", "50000")]),
];

struct Dice(SeededRandom);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn command(&mut self) -> Command {
        match self.below(12) {
            0..=2 => self.create(),
            3 => Command::DeleteTopics(DeleteTopicsRequest {
                topic_names: vec![self.pick(&TOPICS).to_owned()],
                ..DeleteTopicsRequest::default()
            }),
            4 => Command::CreatePartitions(CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: self.pick(&TOPICS).to_owned(),
                    count: 1 + self.below(6) as i32,
                    assignments: None,
                }],
                ..CreatePartitionsRequest::default()
            }),
            5 => self.replace_configs(),
            6..=8 => self.change_configs(),
            9 => Command::UpdateFeatures(UpdateFeaturesRequest {
                feature_updates: vec![FeatureUpdateKey {
                    feature: self.pick(&["transaction.version", "group.version"]).to_owned(),
                    max_version_level: self.below(3) as i16,
                    allow_downgrade: false,
                    upgrade_type: 1 + self.below(2) as i8,
                }],
                ..UpdateFeaturesRequest::default()
            }),
            10 => Command::AllocateProducerIds { broker: BrokerId(1) },
            _ => Command::RestartBroker { broker: BrokerId(1 + self.below(2) as i32) },
        }
    }

    fn create(&mut self) -> Command {
        let configs = match self.below(2) {
            0 => Vec::new(),
            _ => vec![CreatableTopicConfig {
                name: "retention.ms".to_owned(),
                value: Some("9".to_owned()),
            }],
        };
        let topic = CreatableTopic {
            name: self.pick(&TOPICS).to_owned(),
            num_partitions: 1 + self.below(4) as i32,
            replication_factor: 1 + self.below(2) as i16,
            configs,
            ..CreatableTopic::default()
        };
        Command::CreateTopics(CreateTopicsRequest { topics: vec![topic], ..Default::default() })
    }

    fn replace_configs(&mut self) -> Command {
        let (resource_type, names, configs) = self.pick(&RESOURCES);
        let count = self.below(configs.len() + 1);
        let config = |(name, value): &(&str, &str)| alter_configs::AlterableConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        Command::AlterConfigs(AlterConfigsRequest {
            resources: vec![alter_configs::AlterConfigsResource {
                resource_type,
                resource_name: self.pick(names).to_owned(),
                configs: configs[..count].iter().map(config).collect(),
            }],
            ..AlterConfigsRequest::default()
        })
    }

    fn change_configs(&mut self) -> Command {
        let (resource_type, names, configs) = self.pick(&RESOURCES);
        let (name, value) = self.pick(configs);
        // Set it, or delete it.
        let config_operation = self.below(2) as i8;
        Command::IncrementalAlterConfigs(IncrementalAlterConfigsRequest {
            resources: vec![incremental_alter_configs::AlterConfigsResource {
                resource_type,
                resource_name: self.pick(names).to_owned(),
                configs: vec![incremental_alter_configs::AlterableConfig {
                    name: name.to_owned(),
                    config_operation,
                    value: (config_operation == 0).then(|| value.to_owned()),
                }],
            }],
            ..IncrementalAlterConfigsRequest::default()
        })
    }
}

fn again(image: &Image) -> Image {
    let mut again = Image::new();
    for record in image.records() {
        let bytes = record.encode().expect("a record can be encoded");
        let record = MetadataRecord::decode(bytes).expect("what was encoded is read");
        again.apply(&record).expect("the records of an image fit together");
    }
    again
}

#[test]
fn the_records_of_an_image_make_an_equal_one() {
    let settings = ControllerSettings {
        brokers: vec![BrokerId(1), BrokerId(2)],
        ..ControllerSettings::default()
    };
    let (mut kinds, mut fields) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..200 {
        let mut dice = Dice(SeededRandom::new(seed));
        let mut image = Image::new();
        for _ in 0..60 {
            let command = dice.command();
            let decision = decide(&image, &settings, &mut dice.0, &command);
            for record in &decision.records {
                image.apply(record).expect("a decision fits the image it was taken on");
                let kind = format!("{record:?}");
                kinds.insert(kind.split('(').next().unwrap_or_default().to_owned());
            }
            let again = again(&image);
            assert_eq!(again, image, "seed {seed}, after {command:?}");
            // What only its records say is in it as well.
            assert_eq!(again.records(), image.records(), "seed {seed}");
            for record in image.records() {
                if let MetadataRecord::Config(config) = record {
                    fields.insert(config.resource_type);
                }
            }
        }
    }
    let all = [
        "Config",
        "FeatureLevel",
        "Partition",
        "PartitionChange",
        "ProducerIds",
        "RemoveTopic",
        "Topic",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all, "every kind was met");
    assert_eq!(fields, BTreeSet::from([2, 4, 32]), "every kind of resource was met");
}

#[test]
fn nothing_is_written_down_of_an_empty_image() {
    assert!(Image::new().records().is_empty());
}
