//! `sasl.jaas.config`: a login module, a flag, and its options.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";
//! ```
//!
//! Values may stand in double or single quotes, with a backslash before what would end them.
//! Errors never show the text, since it holds passwords.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

pub(super) struct Jaas {
    /// Without its package.
    pub(super) module: String,
    pub(super) options: BTreeMap<String, String>,
}

impl Jaas {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Tokens { chars: text.chars().peekable() };
        let class = tokens.word("the class of a login module")?;
        let module = class.rsplit('.').next().unwrap_or_default().to_owned();
        let flag = tokens.word("a flag")?.to_lowercase();
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
            return Err("the flag after the login module is not one (required, ...)".to_owned());
        }
        let mut options = BTreeMap::new();
        loop {
            match tokens.next()? {
                Some(Lexeme::Symbol(';')) => break,
                Some(Lexeme::Text(name)) => {
                    let value = match (tokens.next()?, tokens.next()?) {
                        (Some(Lexeme::Symbol('=')), Some(Lexeme::Text(value))) => value,
                        _ => return Err("an option is not name=value".to_owned()),
                    };
                    options.insert(name, value);
                }
                Some(Lexeme::Symbol(_)) => return Err("an option is not name=value".to_owned()),
                None => return Err("it does not end with a semicolon".to_owned()),
            }
        }
        match tokens.next()? {
            None => Ok(Self { module, options }),
            Some(_) => Err("only one login module is accepted".to_owned()),
        }
    }
}

enum Lexeme {
    Text(String),
    Symbol(char),
}

struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Tokens<'_> {
    fn word(&mut self, what: &str) -> Result<String, String> {
        match self.next()? {
            Some(Lexeme::Text(word)) => Ok(word),
            _ => Err(format!("{what} is missing")),
        }
    }

    fn next(&mut self) -> Result<Option<Lexeme>, String> {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = self.chars.next() else { return Ok(None) };
        match first {
            '"' | '\'' => self.quoted(first).map(|text| Some(Lexeme::Text(text))),
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = self.chars.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                Ok(Some(Lexeme::Text(word)))
            }
            symbol => Ok(Some(Lexeme::Symbol(symbol))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None => return Err("a quote is not closed".to_owned()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.chars.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.push(c),
                    None => return Err("a quote is not closed".to_owned()),
                },
                Some(c) => text.push(c),
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '$')
}
