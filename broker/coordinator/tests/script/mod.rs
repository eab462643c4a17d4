//! Reading scripts and comparing what happens with what is written.

mod consumer;
pub(crate) mod group;
mod group_drawing;
pub(crate) mod transaction;
mod transaction_drawing;

use mainstem_protocol::ErrorCode;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What a script talks to.
pub(crate) trait Play {
    /// Does what the command says; gives what came of it, a line each.
    fn play(&mut self, command: &Command) -> Vec<String>;
}

/// One line of a script: a word, more words, and `name=value` pairs.
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) words: Vec<String>,
    pub(crate) pairs: BTreeMap<String, String>,
}

impl Command {
    fn parse(line: &str) -> Self {
        let mut parts = line.split_whitespace();
        let name = parts.next().expect("a command has a name").to_owned();
        let (mut words, mut pairs) = (Vec::new(), BTreeMap::new());
        for part in parts {
            match part.split_once('=') {
                Some((name, value)) => {
                    pairs.insert(name.to_owned(), value.to_owned());
                }
                None => words.push(part.to_owned()),
            }
        }
        Self { name, words, pairs }
    }

    /// The word at a place.
    pub(crate) fn word(&self, place: usize) -> &str {
        let word = self.words.get(place).map(String::as_str);
        word.unwrap_or_else(|| panic!("`{}` wants a word at {place}", self.name))
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.get(name).map(String::as_str)
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        let Some(text) = self.text(name) else { return default };
        text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"))
    }
}

/// Plays the script and compares.
pub(crate) fn check(path: &Path, world: &mut dyn Play) {
    let script = fs::read_to_string(path).expect("read the script");
    let mut played = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix('>') {
            played.push_str(line);
            played.push('\n');
            for answer in world.play(&Command::parse(command)) {
                writeln!(played, "{answer}").expect("write to a string");
            }
        } else if line.is_empty() || line.starts_with('#') {
            played.push_str(line);
            played.push('\n');
        }
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        return fs::write(path, played).expect("write the script");
    }
    for (number, (written, real)) in script.lines().zip(played.lines()).enumerate() {
        assert_eq!(written, real, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(script.lines().count(), played.lines().count(), "{}", path.display());
}

/// The error code of that name.
pub(crate) fn code(name: &str) -> ErrorCode {
    let all = ErrorCode::ALL.iter();
    *all.clone().find(|code| code.name() == name).unwrap_or_else(|| panic!("no code {name}"))
}
