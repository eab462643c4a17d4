//! DescribeConfigs: key 32, versions 1-4.
//!
//! Behaviour: the configurations of topics, groups (whether they exist or not), this broker, and,
//! under the empty name, what was set for all brokers while they ran. Every answer comes from the
//! table of configurations and the layers above it. Nothing is sensitive yet. More resources than
//! the limit are INVALID_REQUEST.
//!
//! Version notes:
//! - v1: synonyms. v3: types and documentation (KIP-569). v4: flexible.

use super::{Api, Place};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_metadata::config::{
    BrokerLayers, DescribedConfig, RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC, describe,
    describe_all_brokers, describe_broker, describe_group,
};
use mainstem_metadata::validate_topic_name;
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use mainstem_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use mainstem_protocol::{ApiKey, ErrorCode};

pub(crate) const API: Api = Api::new(ApiKey::DescribeConfigs, 1, 4, Place::AnyShard, handle);

type Found = Result<Vec<DescribedConfig>, (ErrorCode, String)>;

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeConfigsRequest = request.decode()?;
    let mut results = Vec::new();
    let most = node.config.limits.described_resources_max;
    for (position, resource) in body.resources.iter().enumerate() {
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        let found = match position < most {
            true => find(node, resource),
            false => invalid("Too many resources in one request.".to_owned()),
        };
        match found {
            Ok(mut configs) => {
                // No keys stand for all of them, whether the list is absent or empty.
                if let Some(keys) = resource.configuration_keys.as_ref().filter(|k| !k.is_empty()) {
                    configs.retain(|config| keys.iter().any(|key| key == config.name));
                }
                result.configs = configs.into_iter().map(|config| row(config, &body)).collect();
            }
            Err((error, message)) => {
                node.metrics.error(error);
                result.error_code = error;
                result.error_message = Some(message);
            }
        }
        results.push(result);
    }
    let response = DescribeConfigsResponse { results, ..Default::default() };
    node.respond(request.ticket, &response);
    Ok(())
}

fn find(node: &ShardNode, resource: &DescribeConfigsResource) -> Found {
    let name = &*resource.resource_name;
    match resource.resource_type {
        RESOURCE_TOPIC => topic(node, name),
        RESOURCE_BROKER => broker(node, name),
        RESOURCE_GROUP => group(node, name),
        other => invalid(format!("Unsupported resource type: {other}")),
    }
}

fn invalid(message: String) -> Found {
    Err((ErrorCode::INVALID_REQUEST, message))
}

fn topic(node: &ShardNode, name: &str) -> Found {
    validate_topic_name(name).map_err(|message| (ErrorCode::INVALID_TOPIC_EXCEPTION, message))?;
    let image = node.view().image;
    let Some(topic) = image.topic(name) else {
        let message = "This server does not host this topic-partition.".to_owned();
        return Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    let file = node.topic_defaults_at_start();
    let layers = BrokerLayers {
        broker: image.broker_configs(node.config.node_id),
        all_brokers: image.all_brokers_configs(),
        file: &file,
    };
    Ok(describe(&topic.configs, layers))
}

fn group(node: &ShardNode, name: &str) -> Found {
    if name.is_empty() {
        return invalid("Group name must not be empty".to_owned());
    }
    let image = node.view().image;
    let file = node.topic_defaults_at_start();
    let layers = BrokerLayers {
        broker: image.broker_configs(node.config.node_id),
        all_brokers: image.all_brokers_configs(),
        file: &file,
    };
    Ok(describe_group(image.group_configs(name), layers))
}

fn broker(node: &ShardNode, name: &str) -> Found {
    let image = node.view().image;
    let all_brokers = image.all_brokers_configs();
    if name.is_empty() {
        return Ok(describe_all_brokers(all_brokers));
    }
    let node_id = node.config.node_id;
    if name.parse::<i32>().is_err() {
        return invalid(format!("Broker id must be an integer, but it is: {name}"));
    }
    if name != node_id.to_string() {
        return invalid(format!(
            "Unexpected broker id, expected {node_id} or empty string, but received {name}"
        ));
    }
    let at_start = &node.config_at_start;
    Ok(describe_broker(image.broker_configs(node_id), all_brokers, &|row| at_start.given(row)))
}

fn row(config: DescribedConfig, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = config.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.to_owned(),
        value: Some(synonym.value),
        source: synonym.source as i8,
    });
    let documentation = config.documentation.to_owned();
    DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: false,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: config.kind.wire_number(),
        documentation: request.include_documentation.then_some(documentation),
    }
}
