//! The task: reads rows, makes records of them, and knows how to go on after a restart.
//!
//! The offset of the one source partition `{"file": path}` is `{"byte": b, "row": n, "timestamp":
//! t, "complete": c}`: bytes of the uncompressed stream and data rows behind the last record, the
//! greatest record timestamp so far, and whether the end-of-stream records were written. With
//! `order.by` the rows are counted in the sorted order, and `byte` means nothing.

use mainstem_connect_sdk::{
    BatchBuilder, Error, Limits, Mark, NewRecord, Partition, Polled, Rejected, avro, host,
};
use serde_json::{Value, json};

use crate::END_OF_STREAM;
use crate::columns::{Column, Sample};
use crate::csv::Row;
use crate::input::{Input, Next, read_error};
use crate::settings::{Columns, Format, Settings};
use crate::sorted::Sorted;

/// Rejected rows in one answer: a file that is wrong from end to end must not fill the memory.
const REJECTED_MAX: usize = 1000;
/// Bytes of a rejected row that are shown.
const SHOWN_BYTES_MAX: usize = 256;

/// One column of the record, and where its field stands in the row.
struct Field {
    column: Column,
    index: usize,
}

pub struct Task {
    settings: Settings,
    input: Input,
    /// Set with `order.by`; then `input` is at its end.
    sorted: Option<Sorted>,
    fields: Vec<Field>,
    /// Fields that every row must have.
    width: usize,
    key: Option<usize>,
    timestamp: Option<usize>,
    key_schema: String,
    value_schema: String,
    rows: u64,
    /// Number in the file of the row in `raw`.
    row_number: u64,
    position: u64,
    timestamp_ms_max: i64,
    complete: bool,
    polls: u64,
    raw: Vec<u8>,
    row: Row,
    scratch: Vec<u8>,
}

impl Task {
    pub fn open(settings: Settings, committed: &[(String, String)]) -> Result<Task, Error> {
        let mut input = Input::open(&settings.path, 0)?;
        if settings.follow && input.compressed {
            return Err(Error::config("follow: a gzip file cannot be followed"));
        }
        let (fields, width) = match settings.format {
            Format::Lines => (Vec::new(), 0),
            Format::Csv => lay_out(&settings, &mut input)?,
        };
        let mut position = input.position();
        let (mut rows, mut timestamp_ms_max, mut complete) = (0, -1, false);
        if let Some(offset) = find_offset(&settings.path, committed)? {
            rows = offset["row"].as_u64().unwrap_or(0);
            timestamp_ms_max = offset["timestamp"].as_i64().unwrap_or(-1);
            complete = offset["complete"].as_bool().unwrap_or(false);
            position = offset["byte"].as_u64().unwrap_or(position);
        }
        if position != input.position() && settings.order_by.is_none() {
            input = Input::open(&settings.path, position)?;
        }
        let index_of = |wanted: &Option<String>, key: &str| match wanted {
            None => Ok(None),
            Some(name) => match fields.iter().position(|field| field.column.name == *name) {
                Some(index) => Ok(Some(index)),
                None => Err(Error::config(format!("{key}: the file has no column {name}"))),
            },
        };
        let key = index_of(&settings.key_column, "key.column")?;
        let timestamp = index_of(&settings.timestamp_column, "timestamp.column")?;
        // A key is never null inside Avro: a null field is a null key.
        let key_schema = key.map_or_else(String::new, |index| {
            Column { nullable: false, ..fields[index].column.clone() }.schema()
        });
        let value_schema = value_schema(&settings, &fields);
        let sorted = match index_of(&settings.order_by, "order.by")? {
            // Nothing will be taken from a file that is complete.
            Some(index) if !complete => {
                Some(Sorted::load(&settings, &mut input, fields[index].index, rows)?)
            }
            _ => None,
        };
        Ok(Task {
            settings,
            input,
            sorted,
            fields,
            width,
            key,
            timestamp,
            key_schema,
            value_schema,
            rows,
            row_number: rows,
            position,
            timestamp_ms_max,
            complete,
            polls: 0,
            raw: Vec::new(),
            row: Row::default(),
            scratch: Vec::new(),
        })
    }

    pub fn poll(
        &mut self,
        limits: Limits,
        batch: &mut BatchBuilder,
    ) -> Result<Option<Polled>, Error> {
        if self.complete {
            return Ok(None);
        }
        let topic = batch.topic(&self.settings.topic);
        let value_schema = batch.schema(self.value_schema.as_bytes());
        let key_schema =
            if self.key.is_some() { batch.schema(self.key_schema.as_bytes()) } else { 0 };
        let schemas = Schemas { topic, key: key_schema, value: value_schema };
        let mut rejected = Vec::new();
        let mut ended = false;
        while batch.len() < limits.records_max as usize
            && batch.size_bytes() < limits.bytes_max as usize
            && rejected.len() < REJECTED_MAX
            && !host_is_stopping(batch)
        {
            match self.next_row()? {
                Next::Row => self.take_row(schemas, batch, &mut rejected),
                Next::TooLong => self.reject("the row is longer than 1 MiB", &mut rejected),
                Next::Unfinished if !self.settings.follow => {
                    self.take_row(schemas, batch, &mut rejected);
                }
                Next::Unfinished | Next::End => {
                    ended = true;
                    break;
                }
            }
        }
        if ended && !self.settings.follow {
            self.finish(topic, batch);
        }
        if batch.is_empty() && rejected.is_empty() && !self.complete {
            return Ok(None);
        }
        self.polls += 1;
        let marks = vec![self.mark(batch.len())];
        Ok(Some(Polled { marks, rejected, token: self.polls, ..Polled::default() }))
    }

    fn next_row(&mut self) -> Result<Next, Error> {
        if let Some(sorted) = &mut self.sorted {
            let next = sorted.next_row(&mut self.raw);
            self.row_number = next.unwrap_or(self.row_number);
            return Ok(next.map_or(Next::End, |_| Next::Row));
        }
        self.row_number = self.rows + 1;
        let csv = self.settings.format == Format::Csv;
        let next = self.input.next_row(&mut self.raw, csv);
        next.map_err(|error| read_error(&self.settings.path, &error))
    }

    fn finish(&mut self, topic: u16, batch: &mut BatchBuilder) {
        self.complete = true;
        host::log_line(
            host::Level::Info,
            &format!("{} is complete: {} rows", self.settings.path, self.rows),
        );
        if !self.settings.end_of_stream {
            return;
        }
        batch.push(NewRecord {
            topic,
            partition: Partition::Every,
            timestamp_ms: (0 <= self.timestamp_ms_max).then_some(self.timestamp_ms_max),
            key: None,
            key_schema: 0,
            value: None,
            value_schema: 0,
        });
        batch.header(END_OF_STREAM, None);
    }

    fn take_row(
        &mut self,
        schemas: Schemas,
        batch: &mut BatchBuilder,
        rejected: &mut Vec<Rejected>,
    ) {
        // Editors and exports leave an empty line at the end; a CSV row of one empty field is not a
        // row.
        if self.settings.format == Format::Csv && self.raw.is_empty() {
            self.advance();
            return;
        }
        match self.write_record(schemas, batch) {
            Ok(()) => self.advance_row(),
            Err(problem) => self.reject(&problem, rejected),
        }
    }

    fn write_record(&mut self, schemas: Schemas, batch: &mut BatchBuilder) -> Result<(), String> {
        self.scratch.clear();
        if self.settings.format == Format::Lines {
            if std::str::from_utf8(&self.raw).is_err() {
                return Err("the line is not UTF-8".to_string());
            }
            avro::write_bytes(&mut self.scratch, &self.raw);
            batch.push(NewRecord {
                topic: schemas.topic,
                partition: Partition::ByKey,
                timestamp_ms: None,
                key: None,
                key_schema: 0,
                value: Some(&self.scratch),
                value_schema: schemas.value,
            });
            return Ok(());
        }
        self.row.split(&self.raw, self.settings.delimiter)?;
        if self.row.len() != self.width {
            return Err(format!("{} fields instead of {}", self.row.len(), self.width));
        }
        let null_text = self.settings.null_text.as_bytes();
        for field in &self.fields {
            field.column.encode(self.row.field(field.index), null_text, &mut self.scratch)?;
        }
        let value_len = self.scratch.len();
        let has_key = self.encode_key()?;
        let timestamp_ms = self.record_timestamp()?;
        let (value, key) = self.scratch.split_at(value_len);
        batch.push(NewRecord {
            topic: schemas.topic,
            partition: Partition::ByKey,
            timestamp_ms,
            key: has_key.then_some(key),
            key_schema: if has_key { schemas.key } else { 0 },
            value: Some(value),
            value_schema: schemas.value,
        });
        self.timestamp_ms_max = self.timestamp_ms_max.max(timestamp_ms.unwrap_or(-1));
        Ok(())
    }

    /// Appends the key behind the value; false when there is none.
    fn encode_key(&mut self) -> Result<bool, String> {
        let Some(field) = self.key.map(|index| &self.fields[index]) else { return Ok(false) };
        let text = self.row.field(field.index);
        if field.column.nullable && text == self.settings.null_text.as_bytes() {
            return Ok(false);
        }
        field.column.encode_present(text, &mut self.scratch)?;
        Ok(true)
    }

    fn record_timestamp(&self) -> Result<Option<i64>, String> {
        let Some(field) = self.timestamp.map(|index| &self.fields[index]) else { return Ok(None) };
        let text = self.row.field(field.index);
        match crate::instant::parse(text) {
            Some(time_ms) if 0 <= time_ms => Ok(Some(time_ms)),
            _ => Err(format!(
                "column {}: '{}' cannot be the record's timestamp",
                field.column.name,
                String::from_utf8_lossy(&text[..text.len().min(64)])
            )),
        }
    }

    fn reject(&mut self, problem: &str, rejected: &mut Vec<Rejected>) {
        let row = self.row_number;
        rejected.push(Rejected {
            position: format!("{} row {row}", self.settings.path),
            code: "row".to_string(),
            message: problem.to_string(),
            content: self.raw[..self.raw.len().min(SHOWN_BYTES_MAX)].to_vec(),
        });
        self.advance_row();
    }

    fn advance_row(&mut self) {
        self.rows += 1;
        self.advance();
    }

    fn advance(&mut self) {
        self.raw.clear();
        self.position = self.input.position();
    }

    fn mark(&self, after: usize) -> Mark {
        let offset = json!({
            "byte": self.position,
            "row": self.rows,
            "timestamp": self.timestamp_ms_max,
            "complete": self.complete,
        });
        Mark {
            after: u32::try_from(after).unwrap_or(u32::MAX),
            partition: json!({ "file": self.settings.path }).to_string(),
            offset: Some(offset.to_string()),
        }
    }
}

#[derive(Clone, Copy)]
struct Schemas {
    topic: u16,
    key: u16,
    value: u16,
}

/// Asked only now and then: crossing the border for every row would cost more than the row.
fn host_is_stopping(batch: &BatchBuilder) -> bool {
    !batch.is_empty() && batch.len() % 1024 == 0 && host::stopping()
}

fn value_schema(settings: &Settings, fields: &[Field]) -> String {
    if settings.format == Format::Lines {
        return "\"string\"".to_string();
    }
    let columns: Vec<(String, String)> =
        fields.iter().map(|field| (field.column.name.clone(), field.column.schema())).collect();
    avro::record_schema(&settings.schema_name, &columns)
}

fn find_offset(path: &str, committed: &[(String, String)]) -> Result<Option<Value>, Error> {
    for (partition, offset) in committed {
        let partition: Value = serde_json::from_str(partition)
            .map_err(|error| Error::data(format!("committed partition {partition}: {error}")))?;
        if partition["file"].as_str() == Some(path) {
            let offset = serde_json::from_str(offset)
                .map_err(|error| Error::data(format!("committed offset {offset}: {error}")))?;
            return Ok(Some(offset));
        }
    }
    Ok(None)
}

/// Reads the header and says which field becomes which column, and how many fields a row has.
/// Leaves the input behind the header.
fn lay_out(settings: &Settings, input: &mut Input) -> Result<(Vec<Field>, usize), Error> {
    let mut names = Vec::new();
    if settings.header {
        let mut raw = Vec::new();
        input.next_row(&mut raw, true).map_err(|error| read_error(&settings.path, &error))?;
        // Spreadsheets write a byte order mark.
        let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&raw);
        let mut row = Row::default();
        row.split(raw, settings.delimiter)
            .map_err(|problem| Error::data(format!("{} header: {problem}", settings.path)))?;
        names.extend(row.fields().map(|name| String::from_utf8_lossy(name).trim().to_string()));
    }
    match &settings.columns {
        Columns::Listed(columns) if names.is_empty() => {
            let fields = columns.iter().cloned().enumerate();
            let fields: Vec<Field> =
                fields.map(|(index, column)| Field { column, index }).collect();
            let width = fields.len();
            Ok((fields, width))
        }
        Columns::Listed(columns) => {
            let mut fields = Vec::new();
            for column in columns {
                let index = names.iter().position(|name| *name == column.name);
                let index = index.ok_or_else(|| {
                    Error::config(format!("columns: the file has no column {}", column.name))
                })?;
                fields.push(Field { column: column.clone(), index });
            }
            Ok((fields, names.len()))
        }
        Columns::Inferred(rows) => infer(settings, names, *rows),
    }
}

fn infer(
    settings: &Settings,
    names: Vec<String>,
    rows: usize,
) -> Result<(Vec<Field>, usize), Error> {
    if let Some(name) = names.iter().find(|name| !avro::is_name(name)) {
        return Err(Error::config(format!(
            "columns: '{name}' cannot be the name of an Avro field; list the columns to take"
        )));
    }
    let mut input = Input::open(&settings.path, 0)?;
    let mut samples: Vec<Sample> = names.into_iter().map(Sample::new).collect();
    let (mut raw, mut row) = (Vec::new(), Row::default());
    // The first row is the header, which was read before.
    for index in 0..=rows {
        raw.clear();
        let next = input.next_row(&mut raw, true);
        if next.map_err(|error| read_error(&settings.path, &error))? == Next::End {
            break;
        }
        if index == 0 || row.split(&raw, settings.delimiter).is_err() {
            continue;
        }
        for (sample, field) in samples.iter_mut().zip(row.fields()) {
            sample.look(field, settings.null_text.as_bytes());
        }
    }
    let width = samples.len();
    let columns = samples.into_iter().map(Sample::into_column).enumerate();
    Ok((columns.map(|(index, column)| Field { column, index }).collect(), width))
}
