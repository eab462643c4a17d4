//! Changing the configurations of topics, brokers and groups.
//!
//! Each resource of a request succeeds or fails for itself, with all its changes. A resource that is
//! named twice in one request fails both times, because nobody can say which one was meant. What a
//! resource will have is checked as a whole, so a request may mend two values that contradict each
//! other.
//!
//! Codes are Kafka's: a value that a topic or group cannot have is INVALID_CONFIG, one that a broker
//! cannot have is INVALID_REQUEST.

use super::Refusal;
use crate::config::{
    self, ConfigErrors, Kind, RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC, broker_definition,
    definition, group_definition, validate_broker, validate_group,
};
use crate::image::Configs;
use crate::name::validate_topic_name;
use crate::{ControllerSettings, Decision, Image, MetadataRecord, Reply};
use mainstem_protocol::messages::records::ConfigRecord;
use mainstem_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs, incremental_alter_configs,
};
use mainstem_protocol::{BrokerId, ErrorCode};
use std::collections::BTreeSet;

/// Longest group id that may have configurations; these are kept in memory by every broker.
const GROUP_ID_BYTES_MAX: usize = 1_024;

/// What one request wants of one resource.
struct Wish<'a> {
    kind: i8,
    name: &'a str,
    changes: Vec<Change<'a>>,
    /// Whether configurations that are not named are deleted.
    replaces: bool,
}

struct Change<'a> {
    name: &'a str,
    operation: Operation,
    value: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
    Unknown(i8),
}

impl From<i8> for Operation {
    fn from(number: i8) -> Self {
        match number {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            other => Self::Unknown(other),
        }
    }
}

/// AlterConfigs.
pub(super) fn replace(
    image: &Image,
    settings: &ControllerSettings,
    request: &AlterConfigsRequest,
) -> Decision {
    let wishes = request.resources.iter().map(|resource| Wish {
        kind: resource.resource_type,
        name: &resource.resource_name,
        changes: resource
            .configs
            .iter()
            .map(|config| Change {
                name: &config.name,
                operation: Operation::Set,
                value: config.value.as_deref(),
            })
            .collect(),
        replaces: true,
    });
    let (records, outcomes) =
        decide(image, settings, &wishes.collect::<Vec<_>>(), request.validate_only);
    let responses = request.resources.iter().zip(outcomes).map(|(resource, outcome)| {
        let (error_code, error_message) = outcome;
        alter_configs::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    });
    let response = AlterConfigsResponse { responses: responses.collect(), ..Default::default() };
    Decision { records, reply: Reply::AlterConfigs(response) }
}

/// IncrementalAlterConfigs.
pub(super) fn change(
    image: &Image,
    settings: &ControllerSettings,
    request: &IncrementalAlterConfigsRequest,
) -> Decision {
    let wishes = request.resources.iter().map(|resource| Wish {
        kind: resource.resource_type,
        name: &resource.resource_name,
        changes: resource
            .configs
            .iter()
            .map(|config| Change {
                name: &config.name,
                operation: config.config_operation.into(),
                value: config.value.as_deref(),
            })
            .collect(),
        replaces: false,
    });
    let (records, outcomes) =
        decide(image, settings, &wishes.collect::<Vec<_>>(), request.validate_only);
    let responses = request.resources.iter().zip(outcomes).map(|(resource, outcome)| {
        let (error_code, error_message) = outcome;
        incremental_alter_configs::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    });
    let response =
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() };
    Decision { records, reply: Reply::IncrementalAlterConfigs(response) }
}

/// An error code with its sentence, or success.
type Outcome = (ErrorCode, Option<String>);

fn decide(
    image: &Image,
    settings: &ControllerSettings,
    wishes: &[Wish<'_>],
    validate_only: bool,
) -> (Vec<MetadataRecord>, Vec<Outcome>) {
    let mut seen = BTreeSet::new();
    let all = wishes.iter().map(|wish| (wish.kind, wish.name));
    let twice: BTreeSet<(i8, &str)> = all.filter(|resource| !seen.insert(*resource)).collect();
    let mut records = Vec::new();
    let mut outcomes = Vec::with_capacity(wishes.len());
    let mut groups = image.configured_groups().len();
    for (position, wish) in wishes.iter().enumerate() {
        let plan = if settings.resources_per_request_max <= position {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Too many resources in one request."))
        } else if twice.contains(&(wish.kind, wish.name)) {
            Err(invalid_request("Each resource must appear at most once."))
        } else {
            plan(image, settings, wish, &mut groups)
        };
        match plan {
            Ok(planned) => {
                if !validate_only {
                    records.extend(planned.into_iter().map(MetadataRecord::Config));
                }
                outcomes.push((ErrorCode::NONE, None));
            }
            Err(refusal) => outcomes.push((refusal.code, Some(refusal.message))),
        }
    }
    (records, outcomes)
}

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUEST, message)
}

/// The records of one resource. `groups` counts those that will have configurations.
fn plan(
    image: &Image,
    settings: &ControllerSettings,
    wish: &Wish<'_>,
    groups: &mut usize,
) -> Result<Vec<ConfigRecord>, Refusal> {
    check_changes(&wish.changes)?;
    let old = match wish.kind {
        RESOURCE_TOPIC => image.topic(wish.name).map(|topic| &topic.configs),
        RESOURCE_BROKER if wish.name.is_empty() => Some(image.all_brokers_configs()),
        RESOURCE_BROKER => Some(image.broker_configs(broker_id(settings, wish.name)?)),
        RESOURCE_GROUP => Some(image.group_configs(wish.name)),
        other => return Err(invalid_request(format!("Unknown resource type {other}"))),
    };
    let none = Configs::new();
    let before = old.unwrap_or(&none);
    let after = apply(wish, before)?;
    match wish.kind {
        RESOURCE_TOPIC => {
            check_topic(settings, wish.name, before, &after)?;
            if old.is_none() {
                return Err(Refusal::new(
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    format!("The topic '{}' does not exist.", wish.name),
                ));
            }
        }
        RESOURCE_BROKER => {
            validate_broker(&after).map_err(|errors| invalid_request(errors.to_string()))?;
        }
        _ => {
            let with_this = *groups + usize::from(before.is_empty() && !after.is_empty());
            check_group(settings, wish.name, &after, with_this)?;
            *groups = with_this;
        }
    }
    Ok(records(wish, before, &after))
}

/// Checks what can be said of the changes without knowing the resource.
fn check_changes(changes: &[Change<'_>]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    if !changes.iter().all(|change| seen.insert(change.name)) {
        return Err(invalid_request("Error due to duplicate config keys"));
    }
    let null =
        |change: &&Change<'_>| change.value.is_none() && change.operation != Operation::Delete;
    let nulls: Vec<&str> = changes.iter().filter(null).map(|change| change.name).collect();
    if !nulls.is_empty() {
        let names = nulls.join(", ");
        return Err(invalid_request(format!("Null value not supported for : {names}")));
    }
    Ok(())
}

fn broker_id(settings: &ControllerSettings, name: &str) -> Result<BrokerId, Refusal> {
    let not_a_number =
        |_| invalid_request(format!("Node id must be an integer, but it is: {name}"));
    let id = name.parse().map(BrokerId).map_err(not_a_number)?;
    // A number has one form only, or one broker would have two resources.
    if settings.brokers.contains(&id) && id.to_string() == name {
        return Ok(id);
    }
    let known: Vec<String> = settings.brokers.iter().map(BrokerId::to_string).collect();
    let known = known.join(", ");
    Err(invalid_request(format!("Unexpected broker id, expected {known}, but received {name}")))
}

/// What the resource will have.
fn apply(wish: &Wish<'_>, before: &Configs) -> Result<Configs, Refusal> {
    let mut after = if wish.replaces { Configs::new() } else { before.clone() };
    for change in &wish.changes {
        let given = change.value.unwrap_or_default().trim();
        let value = match change.operation {
            Operation::Set => given.to_owned(),
            Operation::Delete => {
                after.remove(change.name);
                continue;
            }
            Operation::Append | Operation::Subtract => {
                let default = default_list(wish.kind, change)?;
                let list = before.get(change.name).map_or(default, String::as_str);
                edit_list(list, change.operation, given)
            }
            Operation::Unknown(number) => {
                return Err(invalid_request(format!("Unknown operations type {number}")));
            }
        };
        after.insert(change.name.to_owned(), value);
    }
    Ok(after)
}

/// The list that a change of a list begins with when nothing is set: the table's, as in Kafka, not
/// what would be inherited.
fn default_list(kind: i8, change: &Change<'_>) -> Result<&'static str, Refusal> {
    let row = match kind {
        RESOURCE_TOPIC => definition(change.name).map(|row| (row.kind, row.default)),
        RESOURCE_GROUP => group_definition(change.name).map(|row| (row.kind, row.default)),
        _ => broker_definition(change.name).map(|row| (row.kind, row.default.unwrap_or_default())),
    };
    match row {
        Some((Kind::List(_), default)) => Ok(default),
        _ => {
            let what = if change.operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
            Err(Refusal::new(
                ErrorCode::INVALID_CONFIG,
                format!("Can't {what} to key {} because its type is not LIST.", change.name),
            ))
        }
    }
}

fn edit_list(list: &str, operation: Operation, given: &str) -> String {
    let mut words: Vec<&str> =
        list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    for word in given.split(',').map(str::trim) {
        match operation {
            Operation::Append if !words.contains(&word) => words.push(word),
            Operation::Append => {}
            _ => words.retain(|have| *have != word),
        }
    }
    words.join(",")
}

fn check_topic(
    settings: &ControllerSettings,
    name: &str,
    before: &Configs,
    after: &Configs,
) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid_request("Default topic resources are not allowed."));
    }
    validate_topic_name(name)
        .map_err(|message| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))?;
    config::validate(after).map_err(|errors| invalid_config(&errors))?;
    let policy = |configs: &Configs| configs.get("cleanup.policy").cloned();
    if settings.internal_topics.contains(&name) && policy(before) != policy(after) {
        return Err(Refusal::new(
            ErrorCode::POLICY_VIOLATION,
            format!("The cleanup policy of {name} cannot be changed: the broker relies upon it."),
        ));
    }
    Ok(())
}

fn check_group(
    settings: &ControllerSettings,
    name: &str,
    after: &Configs,
    groups: usize,
) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(invalid_request("Default group resources are not allowed."));
    }
    if GROUP_ID_BYTES_MAX < name.len() {
        let message = format!("A group id may have at most {GROUP_ID_BYTES_MAX} bytes.");
        return Err(Refusal::new(ErrorCode::INVALID_GROUP_ID, message));
    }
    validate_group(after, &settings.group_settings).map_err(|errors| invalid_config(&errors))?;
    if settings.configured_groups_max < groups {
        let most = settings.configured_groups_max;
        return Err(Refusal::new(
            ErrorCode::POLICY_VIOLATION,
            format!("At most {most} groups may have configurations."),
        ));
    }
    Ok(())
}

fn invalid_config(errors: &ConfigErrors) -> Refusal {
    Refusal::new(ErrorCode::INVALID_CONFIG, errors.to_string())
}

/// What differs; a value that stays is not written again.
fn records(wish: &Wish<'_>, before: &Configs, after: &Configs) -> Vec<ConfigRecord> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let record = |name: &String| ConfigRecord {
        resource_type: wish.kind,
        resource_name: wish.name.to_owned(),
        name: name.clone(),
        value: after.get(name).cloned(),
    };
    changed.map(record).collect()
}
