//! How results look: a table for people, one JSON document for programs, errors on standard error.
//!
//! The only file of the crate that writes to the terminal, but for `consume`, which streams.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this file is for")]

use clap::CommandFactory;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Rows under a head; also the keys of the JSON objects.
pub(crate) struct Listing {
    head: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// An empty listing with these columns.
    pub(crate) fn new(head: &[&'static str]) -> Listing {
        Listing { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<Value>) {
        assert_eq!(cells.len(), self.head.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// The rows as JSON objects.
    pub(crate) fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let pairs = self.head.iter().zip(row);
            Value::Object(pairs.map(|(key, cell)| ((*key).to_owned(), cell.clone())).collect())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    fn to_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.head.iter().map(|name| name.replace('_', " ").to_uppercase()));
        for row in &self.rows {
            table.add_row(row.iter().map(cell));
        }
        table
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Prints a listing in the form that was asked for.
pub(crate) fn listing(listing: &Listing, json: bool) {
    if json {
        println!("{}", listing.to_json());
    } else if listing.rows.is_empty() {
        println!("none");
    } else {
        println!("{}", listing.to_table().trim_fmt());
    }
}

/// Prints several listings, each under its title.
pub(crate) fn sections(sections: &[(&str, Listing)], json: bool) {
    if json {
        let all = sections.iter().map(|(name, part)| ((*name).to_owned(), part.to_json()));
        println!("{}", Value::Object(all.collect()));
        return;
    }
    for (index, (name, part)) in sections.iter().enumerate() {
        if index > 0 {
            println!();
        }
        println!("{name}");
        listing(part, false);
    }
}

/// Prints one fact: the sentence for people, the value for programs.
pub(crate) fn fact(sentence: &str, value: &Value, json: bool) {
    if json {
        println!("{value}");
    } else {
        println!("{sentence}");
    }
}

/// Prints why the command failed.
pub(crate) fn error(failure: &Failure, json: bool) {
    if json {
        eprintln!("{}", json!({ "error": failure.to_string() }));
    } else {
        eprintln!("error: {failure}");
    }
}

/// Prints the completions of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Arguments::command(), "mainstem", &mut std::io::stdout());
}
