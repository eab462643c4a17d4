//! Regular expressions over names of topics, in the syntax of RE2.
//!
//! A whole name must match. Matching takes time linear in the name, whatever the pattern, and a
//! compiled pattern has a limit of size, so that a client cannot make the broker busy with one.
//! `\Q...\E`, which RE2 knows and the engine does not, is translated.

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a pattern. The longest name of a topic has 249.
const PATTERN_BYTES_MAX: usize = 8_192;
/// Bytes of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 2 << 20;
/// Brackets within brackets.
const NESTING_MAX: u32 = 100;

/// A pattern that compiled.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// The error is a sentence for the client.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if PATTERN_BYTES_MAX < pattern.len() {
            return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
        }
        let whole = format!("^(?:{})$", unquote(pattern));
        // The pattern alone must be one: `a)(b` is not.
        let build = |text: &str, unicode| {
            RegexBuilder::new(text)
                .unicode(unicode)
                .size_limit(COMPILED_BYTES_MAX)
                .dfa_size_limit(COMPILED_BYTES_MAX)
                .nest_limit(NESTING_MAX)
                .build()
        };
        // Names of topics are ASCII, and ASCII classes are small; only names of Unicode classes
        // need the large tables.
        let alone = build(&unquote(pattern), false).or_else(|_| build(&unquote(pattern), true));
        alone.map_err(|error| explain(&error))?;
        let whole = build(&whole, false).or_else(|_| build(&whole, true));
        whole.map(Self).map_err(|error| explain(&error))
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic.as_bytes())
    }
}

fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it is too large when compiled".to_owned(),
        // The last line of a syntax error says what is wrong; the others draw where.
        error => {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

/// Turns `\Q...\E` into escapes.
fn unquote(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(quoted) = from.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let escape = from.chars().nth(1).map_or(1, |next| 1 + next.len_utf8());
            out.push_str(&from[..escape]);
            rest = &from[escape..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_match() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders-2", false),
            ("orders.*", "orders-2", true),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("^a.*z$", "abcz", true),
            ("(?i)ORDERS", "orders", true),
            ("[[:alpha:]]+", "abc", true),
            (r"\w+\d", "abc1", true),
            (r"\Qa.b\E.*", "a.b-c", true),
            (r"\Qa.b\E.*", "axb-c", false),
            (r"\\Qa", r"\Qa", true),
            (r"\pL+", "abc", true),
            ("", "a", false),
            ("(?P<x>a)(?:b)", "ab", true),
            // Linear in the name, whatever the pattern.
            ("(a*)*b", &"a".repeat(249), false),
        ] {
            assert_eq!(Pattern::new(pattern).expect(pattern).matches(name), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_re2_or_too_large_is_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let deep = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        for pattern in
            ["(", "a)(b", "[", "*", r"(a)\1", "(?=a)", "a{100000}", r"(\w{250}){250}", &deep, &long]
        {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
