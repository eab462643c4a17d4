//! The file source: rows of a CSV file, or lines of a text file, plain or gzip, into a topic.
//!
//! Reading order: [`settings`] (the configuration), [`input`] (a file as a stream of raw rows),
//! [`csv`] (a raw row as fields), [`columns`] (fields as Avro), [`instant`] (times as text),
//! [`sorted`] (all rows in order of time), [`reader`] (the task).
//!
//! Invariants:
//! - the offset behind a batch counts bytes of the uncompressed stream and data rows, so a new task
//!   goes on at the next row whether or not the file is compressed;
//! - a row becomes exactly one record, or is rejected with its line number: there is no third way;
//! - after the end-of-stream records were stored nothing more is read, even if the file grows.
//!
//! Deliberately absent: several files per connector, and watching directories. A second file is a
//! second connector.

mod columns;
mod csv;
mod input;
mod instant;
mod reader;
mod settings;
mod sorted;

use mainstem_connect_sdk::{
    BatchBuilder, Config, Connector, Encoding, Error, ExactlyOnce, Issue, Limits, Manifest, Polled,
    Source,
};

use reader::Task;
use settings::Settings;

/// The header that marks an end-of-stream record.
const END_OF_STREAM: &str = "mainstem.end-of-stream";

struct FileSource(Task);

impl Connector for FileSource {
    fn describe() -> Manifest {
        Manifest {
            name: "file-source".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            doc: "Reads a CSV or text file, plain or gzip, into a topic, each row exactly once."
                .to_string(),
            keys: settings::keys(),
            key_encoding: Encoding::Avro,
            value_encoding: Encoding::Avro,
        }
    }

    fn validate(config: &Config) -> Vec<Issue> {
        Settings::read(config).err().unwrap_or_default()
    }

    fn exactly_once(_config: &Config) -> ExactlyOnce {
        ExactlyOnce::TargetOffsets
    }

    fn grants(config: &Config) -> Vec<String> {
        vec![format!("file:{}", config.text("path"))]
    }
}

impl Source for FileSource {
    fn open(config: &Config, committed: &[(String, String)]) -> Result<Self, Error> {
        let settings = Settings::read(config).map_err(|issues| {
            let sentences: Vec<String> = issues
                .iter()
                .map(|issue| format!("{}: {}", issue.key, issue.errors.join(", ")))
                .collect();
            Error::config(sentences.join("; "))
        })?;
        Task::open(settings, committed).map(FileSource)
    }

    fn poll(&mut self, limits: Limits, batch: &mut BatchBuilder) -> Result<Option<Polled>, Error> {
        self.0.poll(limits, batch)
    }
}

mainstem_connect_sdk::export_source!(FileSource);
