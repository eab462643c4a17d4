//! What a program is asked to do, read from its arguments.
//!
//! `LOAD --bootstrap HOST:PORT --topic NAME [--NAME VALUE]...`

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::Outcome;

/// The loads; see `docs/benchmarks.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Makes the topic. Not measured.
    Create,
    /// Deletes the topic. Not measured.
    Delete,
    /// Writes `records` records, for `Consume` to read. Not measured.
    Fill,
    /// Writes for `seconds` what the client takes.
    Produce,
    /// Reads what `Fill` wrote, from the beginning to the end.
    Consume,
    /// Writes `rate` records each second and reads them.
    Latency,
    /// Writes for `seconds` one transaction after the other.
    Transactions,
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "create" => Self::Create,
            "delete" => Self::Delete,
            "fill" => Self::Fill,
            "produce" => Self::Produce,
            "consume" => Self::Consume,
            "latency" => Self::Latency,
            "transactions" => Self::Transactions,
            _ => return Err(format!("nobody knows the load {text:?}")),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
}

impl Compression {
    /// As Kafka's configurations call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::Lz4]
            .into_iter()
            .find(|compression| compression.name() == text)
            .ok_or_else(|| format!("{text:?} is neither none nor lz4"))
    }
}

/// One run of one load.
#[derive(Debug, Clone)]
pub struct Task {
    pub load: Load,
    /// `host:port`
    pub bootstrap: String,
    pub topic: String,
    /// Of what is measured.
    pub duration: Duration,
    /// Bytes of each record's value.
    pub value_bytes: usize,
    pub compression: Compression,
    /// How many records `fill` writes and `consume` expects.
    pub records: u64,
    /// The most records that one poll returns, where a client has such a limit.
    pub poll_records: usize,
    /// Records each second, for `latency`.
    pub rate: u64,
}

impl Task {
    pub fn from_arguments() -> Outcome<Self> {
        let mut words = std::env::args().skip(1);
        let load = words.next().ok_or("usage: LOAD --bootstrap HOST:PORT --topic NAME ...")?;
        let mut options = Options(BTreeMap::new());
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            options.0.insert(name, value);
        }
        let task = Self {
            load: load.parse()?,
            bootstrap: options.take("--bootstrap", None)?,
            topic: options.take("--topic", None)?,
            duration: Duration::from_secs(options.take("--seconds", Some("4"))?),
            value_bytes: options.take("--value-bytes", Some("100"))?,
            compression: options.take("--compression", Some("none"))?,
            records: options.take("--records", Some("0"))?,
            poll_records: options.take("--poll-records", Some("500"))?,
            rate: options.take("--rate", Some("1000"))?,
        };
        match options.0.into_keys().next() {
            Some(name) => Err(format!("nobody knows {name}").into()),
            None => Ok(task),
        }
    }

    /// Whether `consume` has read what `fill` wrote.
    pub fn check(&self, records: u64, bytes: u64) -> Outcome<()> {
        if (records, bytes) == (self.records, self.records * self.value_bytes as u64) {
            return Ok(());
        }
        Err(format!("{records} records with {bytes} bytes of values were read").into())
    }
}

struct Options(BTreeMap<String, String>);

impl Options {
    fn take<T>(&mut self, name: &str, otherwise: Option<&str>) -> Outcome<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let given = self.0.remove(name).or_else(|| otherwise.map(str::to_owned));
        let text = given.ok_or_else(|| format!("{name} is needed"))?;
        text.parse().map_err(|error| format!("{name}: {error}").into())
    }
}
