//! `docs/configuration.md`, written from the tables. The test compares it with the file; run with
//! `UPDATE=1` in the environment, it writes the file.

use mainstem_metadata::config::{
    BrokerDefinition, Definition, Effect, broker_definitions, definitions, group_definitions, unit,
};

use super::kafka_names::{MEANINGLESS, SAME, UNITS};

const HEAD: &str = "\
# Configuration

This file is written from the tables that the broker itself reads
(`UPDATE=1 cargo test -p mainstem-server reference`). A name that is not in it is refused, at a
broker's start and in every request; so is a value out of its range. All problems are said at once,
each with its name.

A broker's settings come, later ones over earlier ones, from the defaults, a file (TOML, or Kafka's
`.properties`), the environment (`MAINSTEM_NUM_PARTITIONS` is `num.partitions`) and flags. Those that
change while a broker runs are set by IncrementalAlterConfigs or AlterConfigs (`kafka-configs.sh`,
`mainstem config`), for one broker or for all (the empty name); they are kept in the cluster's
metadata and go before what the file says.

A topic's value is the topic's own, else the broker's under the name in the table, else the default.
";

const FIXED: &str = "\
Some are known, because clients list and copy them, but have one value only. Setting that value is
accepted, any other is refused with the reason:
";

fn cell(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.replace('|', "\\|") }
}

fn line(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn head(cells: &[&str]) -> String {
    format!("\n{}|{}\n", line(cells), " --- |".repeat(cells.len()))
}

fn name(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn broker_part() -> String {
    let mut text = "\n## Brokers\n".to_owned();
    text += &head(&["name", "type", "unit", "default", "values", "changes", "meaning"]);
    let rows = broker_definitions();
    let honoured = |row: &&BrokerDefinition| row.effect == Effect::Honoured;
    for row in rows.iter().filter(honoured) {
        let changes = if row.is_dynamic() { "while running" } else { "at start" };
        let meaning = match row.default_of {
            Some(topic) => format!("Default of `{topic}`."),
            None => row.documentation.to_owned(),
        };
        let default = row.default.map(name).unwrap_or_default();
        let (kind, range) = (row.kind.name(), row.kind.range());
        text +=
            &line(&[&name(row.name), kind, unit(row.name), &default, &range, changes, &meaning]);
    }
    text += "\nWhat topics and groups inherit but cannot change has one value here, too:\n";
    text += &head(&["name", "value", "reason"]);
    for row in &rows {
        if let Effect::Fixed(reason) = row.effect {
            text += &line(&[&name(row.name), &name(row.default.unwrap_or_default()), reason]);
        }
    }
    text
}

/// The part of topics or groups.
fn part(title: &str, rows: &[Definition]) -> String {
    let mut text = format!("\n## {title}\n");
    let honoured: Vec<&Definition> =
        rows.iter().filter(|row| row.effect == Effect::Honoured).collect();
    if !honoured.is_empty() {
        text += "\nAll of them can be changed at any time.\n";
        text += &head(&["name", "type", "unit", "default", "values", "broker's name", "meaning"]);
    }
    for row in honoured {
        let (broker, default) = (name(row.broker_name), name(row.default));
        let (kind, range) = (row.kind.name(), row.kind.range());
        let meaning = row.documentation;
        text += &line(&[&name(row.name), kind, unit(row.name), &default, &range, &broker, meaning]);
    }
    text += "\n";
    text += FIXED;
    text += &head(&["name", "value", "reason", "meaning in Kafka"]);
    for row in rows {
        if let Effect::Fixed(reason) = row.effect {
            text += &line(&[&name(row.name), &name(row.default), reason, row.documentation]);
        }
    }
    text
}

fn names_part() -> String {
    let mut text = "\n## Other names of Kafka's in a broker's file\n".to_owned();
    text += &head(&["name", "stands for"]);
    for (theirs, ours) in SAME {
        text += &line(&[&name(theirs), &name(ours)]);
    }
    for (theirs, ours, factor) in UNITS {
        text += &line(&[&name(theirs), &format!("`{ours}`, in units of {factor} ms")]);
    }
    text += "\nThese have no meaning here; they are ignored with a warning:\n\n";
    for theirs in MEANINGLESS {
        text += &format!("- `{theirs}`\n");
    }
    text
}

#[test]
fn the_reference_is_written_from_the_tables() {
    let topics = part("Topics", definitions());
    let groups = part("Groups", group_definitions());
    let text = [HEAD.to_owned(), broker_part(), topics, groups, names_part()].concat();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).expect("write docs/configuration.md");
    }
    let file = std::fs::read_to_string(path).unwrap_or_default();
    assert!(file == text, "docs/configuration.md is behind the tables: run with UPDATE=1");
}
