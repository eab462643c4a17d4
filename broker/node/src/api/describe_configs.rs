//! DescribeConfigs: key 32, versions 1-4.
//!
//! Behaviour: settings of topics and of this broker, from the tables that read them. Nothing is
//! sensitive yet, and nothing of the broker can be changed while it runs.
//!
//! Version notes:
//! - v1: synonyms. v3: types and documentation (KIP-569). v4: flexible.

use super::{Api, Place};
use crate::config::{NodeConfig, SETTINGS, SettingKind};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_metadata::config::{RESOURCE_BROKER, RESOURCE_TOPIC, describe};
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::DescribeConfigs, 1, 4, Place::AnyShard, handle);

/// Where a value comes from: the broker's own file, or nobody set it.
const SOURCE_BROKER_FILE: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeConfigsRequest = request.decode()?;
    let mut results = Vec::with_capacity(body.resources.len());
    for resource in &body.resources {
        let found = match resource.resource_type {
            RESOURCE_TOPIC => topic(node, resource),
            RESOURCE_BROKER => broker(node, resource),
            other => Err((
                ErrorCode::INVALID_REQUEST,
                format!("resources of type {other} have no settings here"),
            )),
        };
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        match found {
            Ok(configs) => result.configs = configs,
            Err((error, message)) => {
                node.metrics.error(error);
                result.error_code = error;
                result.error_message = Some(message);
            }
        }
        let wanted = resource.configuration_keys.as_ref();
        result.configs.retain(|config| wanted.is_none_or(|keys| keys.contains(&config.name)));
        for config in &mut result.configs {
            if !body.include_synonyms {
                config.synonyms.clear();
            }
            if !body.include_documentation {
                config.documentation = None;
            }
        }
        results.push(result);
    }
    let response = DescribeConfigsResponse { results, ..Default::default() };
    node.respond(request.ticket, &response);
    Ok(())
}

type Found = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn topic(node: &ShardNode, resource: &DescribeConfigsResource) -> Found {
    let view = node.view();
    let Some(topic) = view.image.topic(&resource.resource_name) else {
        let message = format!("there is no topic {}", resource.resource_name);
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    let described = describe(&topic.configs, &node.topic_defaults());
    let row = |config: mainstem_metadata::config::DescribedConfig| DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: Some(config.value),
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: false,
        synonyms: config
            .synonyms
            .into_iter()
            .map(|synonym| DescribeConfigsSynonym {
                name: synonym.name.to_owned(),
                value: Some(synonym.value),
                source: synonym.source as i8,
            })
            .collect(),
        config_type: config.kind.wire_number(),
        documentation: Some(config.documentation.to_owned()),
    };
    Ok(described.into_iter().map(row).collect())
}

fn broker(node: &ShardNode, resource: &DescribeConfigsResource) -> Found {
    let config = &*node.config;
    // An empty name asks for the defaults of all brokers, which nobody can have set.
    if resource.resource_name.is_empty() {
        return Ok(Vec::new());
    }
    if resource.resource_name != config.node_id.to_string() {
        let message = format!("this is broker {}", config.node_id);
        return Err((ErrorCode::INVALID_REQUEST, message));
    }
    let defaults = NodeConfig::default();
    let row = |setting: &crate::config::Setting| {
        let value = setting.value(config);
        let is_default = value == setting.value(&defaults);
        let source = if is_default { SOURCE_DEFAULT } else { SOURCE_BROKER_FILE };
        DescribeConfigsResourceResult {
            name: setting.key.to_owned(),
            value: value.clone(),
            read_only: true,
            config_source: source,
            is_sensitive: false,
            synonyms: vec![DescribeConfigsSynonym { name: setting.key.to_owned(), value, source }],
            config_type: wire_number(setting.kind),
            documentation: Some(setting.documentation.to_owned()),
        }
    };
    Ok(SETTINGS.iter().map(row).collect())
}

fn wire_number(kind: SettingKind) -> i8 {
    match kind {
        SettingKind::Boolean => 1,
        SettingKind::String => 2,
        SettingKind::Int => 3,
        SettingKind::Long => 5,
    }
}
