//! The words of scripts that administer: `partitions`, `alter`, `describe`, `resources`.
//!
//! A resource is `topic t`, `broker 1`, `brokers` (all of them) or `group g`.

use super::script::{Script, Words};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::describe_configs::DescribeConfigsResource;
use mainstem_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig,
};
use mainstem_protocol::messages::{
    CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
};

/// Type and name of the resource, and the words behind it.
fn resource<'a>(words: &'a Words<'a>) -> (i8, String, &'a [&'a str]) {
    let words = &words.plain[..];
    let words = words.strip_prefix(&["try"]).unwrap_or(words);
    match words {
        ["topic", name, rest @ ..] => (2, (*name).to_owned(), rest),
        ["broker", name, rest @ ..] => (4, (*name).to_owned(), rest),
        ["brokers", rest @ ..] => (4, String::new(), rest),
        ["group", name, rest @ ..] => (32, (*name).to_owned(), rest),
        other => panic!("no resource {other:?}"),
    }
}

impl Script {
    /// `partitions t 3`.
    pub(super) fn partitions(&mut self, words: &Words) {
        let topic = CreatePartitionsTopic {
            name: words.plain[0].to_owned(),
            count: words.plain[1].parse().expect("a count"),
            assignments: None,
        };
        let validate_only = words.has("try");
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1, validate_only };
        let response = self.world.call(1, 3, &request);
        self.say(response.results[0].error_code.name());
    }

    /// `alter topic t retention.ms=5 cleanup.policy+=compact cleanup.policy-=delete segment.ms=`;
    /// with `try` it is only checked.
    pub(super) fn alter(&mut self, words: &Words) {
        let (resource_type, resource_name, _) = resource(words);
        let config = |(name, value): (&&str, &&str)| {
            let (name, config_operation) = match name.strip_suffix(['+', '-']) {
                Some(list) if name.ends_with('+') => (list, 2),
                Some(list) => (list, 3),
                None => (*name, i8::from(value.is_empty())),
            };
            let value = (!value.is_empty()).then(|| (*value).to_owned());
            AlterableConfig { name: name.to_owned(), config_operation, value }
        };
        let configs = words.options.iter().map(config).collect();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource { resource_type, resource_name, configs }],
            validate_only: words.has("try"),
        };
        let response = self.world.call(1, 1, &request);
        self.say(response.responses[0].error_code.name());
    }

    /// `resources 2 32`: the resources of these types; without a type, of all.
    pub(super) fn resources(&mut self, words: &Words) {
        let types = words.plain.iter().map(|word| word.parse().expect("a type"));
        let request = ListConfigResourcesRequest { resource_types: types.collect() };
        let version = words.number("v", 1) as i16;
        let response = self.world.call(2, version, &request);
        let one =
            |resource: &mainstem_protocol::messages::list_config_resources::ConfigResource| {
                format!("{}:{}", resource.resource_type, resource.resource_name)
            };
        let all: Vec<String> = response.config_resources.iter().map(one).collect();
        match response.error_code {
            ErrorCode::NONE if all.is_empty() => self.say("-"),
            ErrorCode::NONE => self.say(&all.join(" ")),
            error => self.say(error.name()),
        }
    }

    /// `describe topic t retention.ms`: the value and all that could have given it, nearest first.
    pub(super) fn describe(&mut self, words: &Words) {
        let (resource_type, resource_name, keys) = resource(words);
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys: Some(keys),
            }],
            include_synonyms: true,
            include_documentation: false,
        };
        let response = self.world.call(2, 4, &request);
        let result = &response.results[0];
        if result.error_code.is_error() {
            self.say(result.error_code.name());
        }
        for config in &result.configs {
            let source = |source| match source {
                1 => "topic",
                2 => "broker",
                3 => "brokers",
                4 => "file",
                5 => "default",
                8 => "group",
                _ => "?",
            };
            let read_only = if config.read_only { " read-only" } else { "" };
            let value = config.value.as_deref().unwrap_or("-");
            self.say(&format!("{}={value}{read_only}", config.name));
            for synonym in &config.synonyms {
                let value = synonym.value.as_deref().unwrap_or("-");
                let source = source(synonym.source);
                self.say(&format!("  {source} {}={value}", synonym.name));
            }
        }
    }
}
