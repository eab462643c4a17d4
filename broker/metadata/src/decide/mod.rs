//! Decisions: a command and the image in, records and an answer out.
//!
//! Nothing here writes to the image. What one command decides about several topics is consistent:
//! topics made earlier in the same request count as existing for the later ones.

mod alter_configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod partitions;
mod producer_ids;
mod restart;
mod update_features;

use crate::{Command, ControllerSettings, Decision, Image};
use mainstem_platform::Random;
use mainstem_protocol::ErrorCode;

/// Decides. Apply the records (in order) before the next decision; give the reply when they are
/// durable. `random` gives topic ids and the first broker of a placement.
pub fn decide(
    image: &Image,
    settings: &ControllerSettings,
    random: &mut dyn Random,
    command: &Command,
) -> Decision {
    match command {
        Command::CreateTopics(request) => create_topics::decide(image, settings, random, request),
        Command::DeleteTopics(request) => delete_topics::decide(image, settings, request),
        Command::CreatePartitions(request) => {
            create_partitions::decide(image, settings, random, request)
        }
        Command::AlterConfigs(request) => alter_configs::replace(image, settings, request),
        Command::IncrementalAlterConfigs(request) => {
            alter_configs::change(image, settings, request)
        }
        Command::UpdateFeatures(request) => update_features::decide(image, request),
        Command::AllocateProducerIds { broker } => producer_ids::decide(image, *broker),
        Command::RestartBroker { broker } => restart::decide(image, *broker),
    }
}

/// Why one topic or resource of a request is refused: a code, and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
