//! Joins the author's traits to the generated bindings, once.
//!
//! The generated resources take `&self`, because a component could in principle be entered again;
//! ours never is, so a `RefCell` holds the author's value. A task that is used before `open` or
//! after `close` answers with an error.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::batch::{Batch, BatchBuilder};
use crate::bindings::mainstem::connect::types;
use crate::bindings::plugin::exports::mainstem::connect::plugin as wire_plugin;
use crate::config::{Config, Key, Kind};
use crate::connector::{
    Boundary, Connector, Error, ErrorKind, ExactlyOnce, Issue, Limits, Sink, Source,
};
use crate::host;

/// Carries the description of any [`Connector`].
#[derive(Debug)]
pub struct PluginAdapter<C>(PhantomData<C>);

/// Carries a [`Source`] into the sourcer world.
#[derive(Debug)]
pub struct SourceAdapter<S>(PhantomData<S>);

/// Carries a [`Sink`] into the sinker world.
#[derive(Debug)]
pub struct SinkAdapter<S>(PhantomData<S>);

/// Exports a [`Source`] as the component of this crate.
#[macro_export]
macro_rules! export_source {
    ($connector:ty) => {
        type ExportedPlugin = $crate::PluginAdapter<$connector>;
        type ExportedPart = $crate::SourceAdapter<$connector>;
        $crate::bindings::plugin::export_described!(
            ExportedPlugin with_types_in $crate::bindings::plugin
        );
        $crate::bindings::source::export_source_part!(
            ExportedPart with_types_in $crate::bindings::source
        );
    };
}

/// Exports a [`Sink`] as the component of this crate.
#[macro_export]
macro_rules! export_sink {
    ($connector:ty) => {
        type ExportedPlugin = $crate::PluginAdapter<$connector>;
        type ExportedPart = $crate::SinkAdapter<$connector>;
        $crate::bindings::plugin::export_described!(
            ExportedPlugin with_types_in $crate::bindings::plugin
        );
        $crate::bindings::sink::export_sink_part!(
            ExportedPart with_types_in $crate::bindings::sink
        );
    };
}

impl<C: Connector> wire_plugin::Guest for PluginAdapter<C> {
    fn describe() -> wire_plugin::Manifest {
        host::report_panics();
        let manifest = C::describe();
        wire_plugin::Manifest {
            name: manifest.name,
            version: manifest.version,
            doc: manifest.doc,
            keys: manifest.keys.into_iter().zip(1..).map(to_wire_key).collect(),
            key_encoding: manifest.key_encoding,
            value_encoding: manifest.value_encoding,
            ext: Vec::new(),
        }
    }

    fn validate(config: types::Config) -> Vec<wire_plugin::Issue> {
        host::report_panics();
        let issue = |issue: Issue| wire_plugin::Issue {
            key: issue.key,
            value: None,
            errors: issue.errors,
            recommended: Vec::new(),
            visible: true,
        };
        C::validate(&Config(config)).into_iter().map(issue).collect()
    }

    fn exactly_once_support(config: types::Config) -> wire_plugin::ExactlyOnce {
        host::report_panics();
        match C::exactly_once(&Config(config)) {
            ExactlyOnce::Unsupported => wire_plugin::ExactlyOnce::Unsupported,
            ExactlyOnce::Idempotent => wire_plugin::ExactlyOnce::Idempotent,
            ExactlyOnce::TargetOffsets => wire_plugin::ExactlyOnce::TargetOffsets,
            ExactlyOnce::Transactional => wire_plugin::ExactlyOnce::Transactional,
        }
    }

    fn grants(config: types::Config) -> Vec<String> {
        host::report_panics();
        C::grants(&Config(config))
    }
}

fn to_wire_key((key, order): (Key, u32)) -> wire_plugin::Key {
    wire_plugin::Key {
        display_name: key.name.clone(),
        name: key.name,
        kind: match key.kind {
            Kind::Boolean => wire_plugin::Kind::Boolean,
            Kind::Int32 => wire_plugin::Kind::Int32,
            Kind::Int64 => wire_plugin::Kind::Int64,
            Kind::Double => wire_plugin::Kind::Double,
            Kind::Text => wire_plugin::Kind::Text,
            Kind::List => wire_plugin::Kind::List,
            Kind::Password => wire_plugin::Kind::Password,
            Kind::DurationMs => wire_plugin::Kind::DurationMs,
            Kind::BytesSize => wire_plugin::Kind::BytesSize,
        },
        default: key.default,
        required: key.required,
        importance: key.importance.to_string(),
        doc: key.doc,
        group: key.group,
        order,
        dependents: Vec::new(),
        allowed: key.allowed,
    }
}

/// A task of either kind: its configuration, and the author's value once it is open.
pub struct TaskCell<T> {
    config: Config,
    open: RefCell<Option<T>>,
}

impl<T> TaskCell<T> {
    fn new(config: types::Config) -> TaskCell<T> {
        host::report_panics();
        TaskCell { config: Config(config), open: RefCell::new(None) }
    }

    fn with<R>(&self, call: impl FnOnce(&mut T) -> Result<R, Error>) -> Result<R, Error> {
        match self.open.borrow_mut().as_mut() {
            Some(task) => call(task),
            None => Err(Error::new(ErrorKind::Fatal, "not-open", "the task is not open")),
        }
    }
}

/// The resource that splits a source's work.
pub struct Splitter<S> {
    config: Config,
    source: PhantomData<S>,
}

mod source_side {
    use super::*;
    use crate::bindings::source::exports::mainstem::connect::source as wire;

    impl<S: Source> wire::Guest for SourceAdapter<S> {
        type Connector = Splitter<S>;
        type Task = TaskCell<S>;
    }

    impl<S: Source> wire::GuestConnector for Splitter<S> {
        fn new(config: types::Config) -> Self {
            host::report_panics();
            Splitter { config: Config(config), source: PhantomData }
        }

        fn task_configs(&self, max_tasks: u32) -> Result<Vec<types::Config>, Error> {
            let tasks = S::task_configs(&self.config, max_tasks)?;
            Ok(tasks.into_iter().map(|task| task.0).collect())
        }
    }

    impl<S: Source> wire::GuestTask for TaskCell<S> {
        fn new(config: types::Config) -> Self {
            TaskCell::new(config)
        }

        fn open(&self, committed: Vec<(String, String)>) -> Result<(), Error> {
            *self.open.borrow_mut() = Some(S::open(&self.config, &committed)?);
            Ok(())
        }

        fn poll(
            &self,
            max_records: u32,
            max_bytes: u32,
            max_wait_ms: u32,
        ) -> Result<Option<wire::Polled>, Error> {
            let limits =
                Limits { records_max: max_records, bytes_max: max_bytes, wait_ms_max: max_wait_ms };
            let records = max_records.min(4096) as usize;
            let mut batch = BatchBuilder::with_capacity(records, (max_bytes as usize).min(1 << 20));
            let polled = self.with(|task| task.poll(limits, &mut batch))?;
            Ok(polled.map(|polled| wire::Polled {
                batch: batch.finish(),
                marks: polled.marks.into_iter().map(to_wire_mark).collect(),
                rejected: polled.rejected.into_iter().map(to_wire_rejected).collect(),
                token: polled.token,
                boundary: match polled.boundary {
                    Boundary::Auto => wire::Boundary::Auto,
                    Boundary::CommitAfter => wire::Boundary::CommitAfter,
                    Boundary::Abort => wire::Boundary::Abort,
                },
            }))
        }

        fn committed(&self, token: u64) -> Result<(), Error> {
            self.with(|task| task.committed(token))
        }

        fn close(&self) {
            if let Some(mut task) = self.open.borrow_mut().take() {
                task.close();
            }
        }
    }

    fn to_wire_mark(mark: crate::connector::Mark) -> wire::Mark {
        wire::Mark { after: mark.after, partition: mark.partition, offset: mark.offset }
    }

    fn to_wire_rejected(rejected: crate::connector::Rejected) -> wire::Rejected {
        wire::Rejected {
            position: rejected.position,
            code: rejected.code,
            message: rejected.message,
            content: rejected.content,
        }
    }
}

mod sink_side {
    use super::*;
    use crate::bindings::sink::exports::mainstem::connect::sink as wire;
    use crate::connector::{Position, TopicPartition};

    impl<S: Sink> wire::Guest for SinkAdapter<S> {
        type Task = TaskCell<S>;
    }

    impl<S: Sink> wire::GuestTask for TaskCell<S> {
        fn new(config: types::Config) -> Self {
            TaskCell::new(config)
        }

        fn open(&self, assigned: Vec<wire::TopicPartition>) -> Result<Vec<wire::Position>, Error> {
            let (task, positions) = S::open(&self.config, &from_wire(assigned))?;
            *self.open.borrow_mut() = Some(task);
            Ok(to_wire(positions))
        }

        fn put(&self, batch: types::Batch) -> Result<Vec<types::Failure>, Error> {
            self.with(|task| task.put(&Batch::new(&batch)))
        }

        fn flush(&self) -> Result<Vec<wire::Position>, Error> {
            self.with(S::flush).map(to_wire)
        }

        fn reassign(
            &self,
            revoked: Vec<wire::TopicPartition>,
            assigned: Vec<wire::TopicPartition>,
        ) -> Result<Vec<wire::Position>, Error> {
            let (revoked, assigned) = (from_wire(revoked), from_wire(assigned));
            self.with(|task| task.reassign(&revoked, &assigned)).map(to_wire)
        }

        fn close(&self) {
            if let Some(mut task) = self.open.borrow_mut().take() {
                task.close();
            }
        }
    }

    fn from_wire(partitions: Vec<wire::TopicPartition>) -> Vec<TopicPartition> {
        let convert =
            |p: wire::TopicPartition| TopicPartition { topic: p.topic, partition: p.partition };
        partitions.into_iter().map(convert).collect()
    }

    fn to_wire(positions: Vec<Position>) -> Vec<wire::Position> {
        let convert = |position: Position| wire::Position {
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
        };
        positions.into_iter().map(convert).collect()
    }
}
