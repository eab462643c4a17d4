//! Regular expressions upon transactional ids.
//!
//! Kafka gives such patterns to RE2, which runs in linear time; so does the `regex` crate, and the
//! two read the same syntax but for corners. A pattern comes from a client, so its text and what
//! it compiles to are bounded.

use mainstem_protocol::ErrorCode;
use regex::{Regex, RegexBuilder};

/// Longest text of a pattern. Ids are at most 32 KiB, and nobody writes a longer one by hand.
const PATTERN_BYTES_MAX: usize = 10 * 1024;
/// Memory of a compiled pattern, and of what it caches while it runs: `x{1000}{1000}` is refused.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern that an id must match from its first to its last character.
pub(super) struct IdPattern(Regex);

impl IdPattern {
    /// `None` for the empty text, which every id passes.
    pub(super) fn parse(text: &str) -> Result<Option<IdPattern>, ErrorCode> {
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = ErrorCode::INVALID_REGULAR_EXPRESSION;
        if PATTERN_BYTES_MAX < text.len() {
            return Err(wrong);
        }
        // The text must be a pattern by itself: `a)|(b` becomes one only between the anchors.
        compile(text).ok_or(wrong)?;
        let whole = compile(&format!(r"\A(?:{text})\z")).ok_or(wrong)?;
        Ok(Some(IdPattern(whole)))
    }

    pub(super) fn matches(&self, id: &str) -> bool {
        self.0.is_match(id)
    }
}

fn compile(text: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().ok()
}
