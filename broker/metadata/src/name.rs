//! Which names a topic may have.
//!
//! Rules of Kafka: 1 to 249 characters out of `[a-zA-Z0-9._-]`, not `.` and not `..`. Metric names
//! turn a dot into an underscore, so two names that differ only there collide and the second one is
//! refused.

/// Longest legal topic name. A partition's folder is the name, a dash and the partition; with the
/// suffix of a deleted folder it still fits into the 255 bytes of a file name.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;
/// Committed offsets and group metadata.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Transactional ids.
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";
/// The log of this crate's records; it is not a topic that clients can make or delete.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether clients see the topic flagged as internal. Our registry's `_schemas` is not, as with
/// others who keep schemas there.
pub fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS_TOPIC || name == TRANSACTION_STATE_TOPIC
}

/// Says what is wrong with a name, in a sentence for the client.
pub fn validate_topic_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        Err("Topic name is invalid: the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Err(format!("Topic name is invalid: '{name}' is not allowed"))
    } else if name.len() > TOPIC_NAME_LENGTH_MAX {
        let start: String = name.chars().take(32).collect();
        Err(format!(
            "Topic name is invalid: '{start}...' is longer than {TOPIC_NAME_LENGTH_MAX} characters"
        ))
    } else if !name.chars().all(legal) {
        Err(format!(
            "Topic name is invalid: '{}' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'",
            name.escape_default()
        ))
    } else {
        Ok(())
    }
}

/// The form in which two names collide.
pub(crate) fn collision_form(name: &str) -> String {
    name.replace('.', "_")
}
