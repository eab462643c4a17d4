//! What clients were told against what the log holds in the end.
//!
//! Values are unique and name their producer and their place in its order, so every rule is a look
//! at two tables: testimonies of the actors, and the final contents of each partition as read from
//! offset 0 after the heal.

use crate::port::Broken;
use crate::workload::TOPIC;
use std::collections::{BTreeMap, BTreeSet};

/// What a record says: who sent it to which partition as its how-manieth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    /// The producer, and for a transactional one the number of its transaction.
    pub(crate) group: String,
    pub(crate) number: u64,
}

impl Value {
    pub(crate) fn text(&self) -> String {
        format!("{}#{}", self.group, self.number)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (group, number) = text.split_once('#')?;
        Some(Self { group: group.to_owned(), number: number.parse().ok()? })
    }
}

/// How a transaction ended, as far as its producer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Committed,
    Aborted,
    /// Whole or not at all.
    Unknown,
}

/// Contents of partitions by offset.
pub(crate) type Rows = BTreeMap<i32, BTreeMap<i64, Value>>;

/// Transactions by group: how each ended and all the values that were acknowledged in it.
pub(crate) type Transactions = BTreeMap<String, (Ending, Vec<(i32, Value)>)>;

/// What an actor was told.
#[derive(Debug, Clone)]
pub(crate) enum Testimony {
    /// Nothing of interest.
    Nothing,
    /// Every record was acknowledged, at these offsets.
    Sent { acknowledged: Vec<(i32, i64, Value)> },
    /// What a transactional producer knows.
    Transactions(Transactions),
    /// What a reader saw.
    Seen { topic: &'static str, committed_only: bool, rows: Rows },
}

/// A topic as it is in the end, for the two kinds of readers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) all: Rows,
    pub(crate) committed: Rows,
}

/// Judges testimonies. `output` is what processors have made of `stream`, if there are any.
pub(crate) fn judge(
    testimonies: &[Testimony],
    stream: &Contents,
    output: Option<&Contents>,
) -> Result<(), Broken> {
    nothing_is_there_twice(&stream.all)?;
    order_is_kept(&stream.all)?;
    for testimony in testimonies {
        match testimony {
            Testimony::Nothing => {}
            Testimony::Sent { acknowledged } => nothing_is_lost(acknowledged, &stream.all)?,
            Testimony::Transactions(transactions) => {
                transactions_are_whole(transactions, &stream.committed)?;
            }
            Testimony::Seen { topic, committed_only, rows } => {
                let contents = if *topic == TOPIC { Some(stream) } else { output };
                let Some(contents) = contents else { continue };
                let end = if *committed_only { &contents.committed } else { &contents.all };
                what_was_seen_stays(rows, end)?;
            }
        }
    }
    if let Some(output) = output {
        everything_is_processed_once(&stream.committed, &output.committed)?;
    }
    Ok(())
}

/// Partition by partition the output has the values of the input, in their order.
fn everything_is_processed_once(input: &Rows, output: &Rows) -> Result<(), Broken> {
    let nothing = BTreeMap::new();
    let partitions: BTreeSet<i32> = input.keys().chain(output.keys()).copied().collect();
    for partition in partitions {
        let from = input.get(&partition).unwrap_or(&nothing);
        let made = output.get(&partition).unwrap_or(&nothing);
        let differs = from.values().zip(made.values()).position(|(a, b)| a != b);
        if differs.is_none() && from.len() == made.len() {
            continue;
        }
        let place = differs.unwrap_or(from.len().min(made.len()));
        let at = |rows: &BTreeMap<i64, Value>| {
            rows.iter().nth(place).map(|(offset, value)| format!("{} at {offset}", value.text()))
        };
        let (wanted, found) = (at(from), at(made));
        let text = format!("output {partition}, record {place}: {found:?} instead of {wanted:?}");
        return broken("exactly once", text);
    }
    Ok(())
}

fn broken<T>(oracle: &'static str, text: String) -> Result<T, Broken> {
    Err(Broken::new(oracle, text))
}

fn nothing_is_there_twice(all: &Rows) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    for (partition, rows) in all {
        for (offset, value) in rows {
            if !seen.insert((partition, value)) {
                return broken(
                    "twice",
                    format!("{} is twice in {partition}, {offset}", value.text()),
                );
            }
        }
    }
    Ok(())
}

fn order_is_kept(all: &Rows) -> Result<(), Broken> {
    for (partition, rows) in all {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, value) in rows {
            let before = last.insert(&value.group, value.number);
            if before.is_some_and(|before| value.number < before) {
                return broken(
                    "order",
                    format!("{} is late in {partition}, {offset}", value.text()),
                );
            }
        }
    }
    Ok(())
}

fn nothing_is_lost(acknowledged: &[(i32, i64, Value)], all: &Rows) -> Result<(), Broken> {
    for (partition, offset, value) in acknowledged {
        let found = all.get(partition).and_then(|rows| rows.get(offset));
        if found != Some(value) {
            let found = found.map(Value::text);
            let value = value.text();
            return broken(
                "lost",
                format!("acknowledged {value} at {partition}, {offset}: {found:?}"),
            );
        }
    }
    Ok(())
}

fn what_was_seen_stays(seen: &Rows, end: &Rows) -> Result<(), Broken> {
    for (partition, rows) in seen {
        for (offset, value) in rows {
            let found = end.get(partition).and_then(|rows| rows.get(offset));
            if found != Some(value) {
                let found = found.map(Value::text);
                let value = value.text();
                let text = format!("a reader saw {value} at {partition}, {offset}: {found:?}");
                return broken("changed", text);
            }
        }
    }
    Ok(())
}

fn transactions_are_whole(transactions: &Transactions, committed: &Rows) -> Result<(), Broken> {
    let mut visible: BTreeMap<&str, BTreeSet<(i32, &Value)>> = BTreeMap::new();
    for (partition, rows) in committed {
        for value in rows.values() {
            visible.entry(&value.group).or_default().insert((*partition, value));
        }
    }
    for (group, (ending, sent)) in transactions {
        let sent: BTreeSet<_> = sent.iter().map(|(partition, value)| (*partition, value)).collect();
        let seen = visible.remove(group.as_str()).unwrap_or_default();
        let right = match ending {
            Ending::Committed => seen == sent,
            Ending::Aborted => seen.is_empty(),
            Ending::Unknown => seen.is_empty() || sent.is_subset(&seen),
        };
        if !right {
            let (seen, sent) = (seen.len(), sent.len());
            let text = format!("transaction {group} {ending:?}: {seen} of {sent} visible");
            return broken("torn", text);
        }
    }
    Ok(())
}
