//! The file sink: records of topics as rows of one CSV or JSON-lines file, each exactly once.
//!
//! Reading order: [`settings`] (the configuration), [`row`] (a value as one line), [`target`] (the
//! file and its positions), and the task below.
//!
//! How a record is written exactly once: the data file grows, and a small file beside it,
//! `<path>.positions`, says how many bytes of it count and which positions of the topics they hold.
//! `flush` syncs the data and then replaces the small file as a whole; that replacement is the one
//! step in which data and positions come into force together. `open` cuts the data file to the
//! bytes that count and hands the positions to the host, which reads on from there.
//!
//! Deliberately absent: several tasks on one file, and rolling to new files.

mod row;
mod settings;
mod target;

use mainstem_connect_sdk::{
    Batch, Config, Connector, Encoding, Error, ExactlyOnce, Failure, Issue, Manifest, Position,
    Sink, TopicPartition,
};

use row::RowWriter;
use settings::Settings;
use target::Target;

struct FileSink {
    settings: Settings,
    target: Target,
    rows: RowWriter,
    assigned: Vec<TopicPartition>,
}

impl Connector for FileSink {
    fn describe() -> Manifest {
        Manifest {
            name: "file-sink".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            doc: "Writes topics into one CSV or JSON-lines file, each record exactly once."
                .to_string(),
            keys: settings::keys(),
            key_encoding: Encoding::Raw,
            value_encoding: Encoding::Json,
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

impl Sink for FileSink {
    fn open(config: &Config, assigned: &[TopicPartition]) -> Result<(Self, Vec<Position>), Error> {
        let settings = Settings::read(config).map_err(|issues| {
            let sentence = |issue: &Issue| format!("{}: {}", issue.key, issue.errors.join(", "));
            Error::config(issues.iter().map(sentence).collect::<Vec<_>>().join("; "))
        })?;
        let target = Target::open(&settings.path)?;
        let rows = RowWriter::new(&settings, target.columns());
        let sink = FileSink { settings, target, rows, assigned: assigned.to_vec() };
        let positions = sink.target.positions(&sink.assigned);
        Ok((sink, positions))
    }

    fn put(&mut self, batch: &Batch<'_>) -> Result<Vec<Failure>, Error> {
        let mut failures = Vec::new();
        let mut run: Option<(&str, i32, i64)> = None;
        for (index, record) in (0..).zip(batch.records()) {
            // A tombstone and an end-of-stream record have no row.
            if let Some(value) = record.value {
                let written = self.rows.write(value, self.target.pending());
                if let Err(message) = written {
                    let code = "row".to_string();
                    failures.push(Failure { index, retriable: false, code, message });
                }
            }
            // Records come in runs of one partition; a position is kept once per run.
            match run {
                Some((topic, partition, next))
                    if topic != record.topic || partition != record.partition =>
                {
                    self.target.reached(topic, partition, next);
                }
                _ => {}
            }
            run = Some((record.topic, record.partition, record.offset + 1));
        }
        if let Some((topic, partition, next)) = run {
            self.target.reached(topic, partition, next);
        }
        self.target.write_out()?;
        Ok(failures)
    }

    fn flush(&mut self) -> Result<Vec<Position>, Error> {
        self.target.commit(self.rows.columns())?;
        Ok(self.target.positions(&self.assigned))
    }

    fn reassign(
        &mut self,
        revoked: &[TopicPartition],
        assigned: &[TopicPartition],
    ) -> Result<Vec<Position>, Error> {
        self.assigned.retain(|partition| !revoked.contains(partition));
        self.assigned.extend_from_slice(assigned);
        self.rows = RowWriter::new(&self.settings, self.rows.columns());
        Ok(self.target.positions(assigned))
    }
}

mainstem_connect_sdk::export_sink!(FileSink);
