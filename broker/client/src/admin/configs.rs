//! Configurations of topics, brokers and groups, and the number of a topic's partitions.

use mainstem_protocol::BrokerId;
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult,
};
use mainstem_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig,
};
use mainstem_protocol::messages::{
    CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
};

use super::machine::Target;
use super::topics::in_order;
use super::{Admin, refused};
use crate::error::{Cause, ClientError, Result};

/// What has configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    Topic(String),
    Broker(i32),
    /// What holds for every broker that does not say otherwise.
    AllBrokers,
    Group(String),
}

impl ConfigResource {
    /// Kafka's number of the type, and the name.
    fn parts(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::AllBrokers => (4, String::new()),
            Self::Group(name) => (32, name.clone()),
        }
    }

    /// Some settings of a broker are known to itself only.
    fn target(&self) -> Target {
        match self {
            Self::Broker(id) => Target::Broker(BrokerId(*id)),
            _ => Target::Any,
        }
    }
}

/// One change of a resource's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    Set {
        name: String,
        value: String,
    },
    /// Back to the default.
    Delete {
        name: String,
    },
    /// Adds words to a list, separated by commas.
    Append {
        name: String,
        value: String,
    },
    /// Takes words out of a list.
    Subtract {
        name: String,
        value: String,
    },
}

impl ConfigChange {
    fn on_the_wire(&self) -> AlterableConfig {
        let (config_operation, name, value) = match self {
            Self::Set { name, value } => (0, name, Some(value)),
            Self::Delete { name } => (1, name, None),
            Self::Append { name, value } => (2, name, Some(value)),
            Self::Subtract { name, value } => (3, name, Some(value)),
        };
        AlterableConfig { name: name.clone(), config_operation, value: value.cloned() }
    }
}

/// Who has set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    Topic,
    Group,
    /// A client, for one broker.
    Broker,
    /// A client, for all brokers.
    AllBrokers,
    /// The broker's own file.
    BrokerFile,
    /// Nobody: it is built in.
    Default,
    Other(i8),
}

impl From<i8> for ConfigSource {
    fn from(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::BrokerFile,
            5 => Self::Default,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for a secret, or when there is no value.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    pub documentation: Option<String>,
}

impl ConfigEntry {
    /// Whether nobody has set it for a topic or group itself, or for a broker while it ran.
    pub fn is_default(&self) -> bool {
        matches!(self.source, ConfigSource::Default | ConfigSource::BrokerFile)
    }
}

fn entry(config: DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: config.name,
        value: config.value,
        source: config.config_source.into(),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        documentation: config.documentation,
    }
}

impl Admin {
    /// Raises the number of partitions of topics to the number given. One answer per topic, in the
    /// order given.
    pub async fn create_partitions(
        &self,
        topics: &[(&str, i32)],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        let wish = |(name, count): &(&str, i32)| CreatePartitionsTopic {
            name: (*name).to_owned(),
            count: *count,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: topics.iter().map(wish).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let response = self.call(Target::Any, i16::MAX, move |_| request).await?;
        let answers = response.results.into_iter().map(|topic| {
            let result = refused("create partitions", topic.error_code, topic.error_message);
            (topic.name, result)
        });
        Ok(in_order(topics.iter().map(|(name, _)| *name), answers))
    }

    /// Changes the configuration of one resource: all of the changes, or none of them.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
    ) -> Result<()> {
        self.alter(resource, changes, false).await
    }

    /// Says what [`Admin::alter_configs`] would say, and changes nothing.
    pub async fn validate_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
    ) -> Result<()> {
        self.alter(resource, changes, true).await
    }

    async fn alter(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<()> {
        let (resource_type, resource_name) = resource.parts();
        let configs = changes.iter().map(ConfigChange::on_the_wire).collect();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource { resource_type, resource_name, configs }],
            validate_only,
        };
        let response = self.call(resource.target(), i16::MAX, move |_| request).await?;
        match response.responses.into_iter().next() {
            Some(result) => refused("alter configs", result.error_code, result.error_message),
            None => Err(ClientError::Retriable(Cause::text("alter configs: empty answer"))),
        }
    }

    /// The configuration of one resource.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        let (resource_type, resource_name) = resource.parts();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys: None,
            }],
            include_documentation: true,
            ..DescribeConfigsRequest::default()
        };
        let build = |version| match version {
            ..3 => DescribeConfigsRequest { include_documentation: false, ..request.clone() },
            _ => request.clone(),
        };
        let response = self.ask(&resource.target(), i16::MAX, build).await?;
        let Some(result) = response.results.into_iter().next() else {
            return Err(ClientError::Retriable(Cause::text("describe configs: empty answer")));
        };
        refused("describe configs", result.error_code, result.error_message)?;
        Ok(result.configs.into_iter().map(entry).collect())
    }
}
