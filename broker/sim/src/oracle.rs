//! The judges: what clients were told against what the log holds in the end.
//!
//! Values are unique and name their producer and their place in its order, so every rule is a look
//! at two tables: testimonies of the actors, and the final contents of each partition as read from
//! offset 0 after the heal.

use crate::port::Broken;
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
    /// Every record was acknowledged, at these offsets.
    Sent { acknowledged: Vec<(i32, i64, Value)> },
    /// What a transactional producer knows.
    Transactions(Transactions),
    /// What a reader saw.
    Seen { committed_only: bool, rows: Rows },
}

/// Judges testimonies; `all` and `committed` are the final contents for the two kinds of readers.
pub(crate) fn judge(testimonies: &[Testimony], all: &Rows, committed: &Rows) -> Result<(), Broken> {
    nothing_is_there_twice(all)?;
    order_is_kept(all)?;
    for testimony in testimonies {
        match testimony {
            Testimony::Sent { acknowledged } => nothing_is_lost(acknowledged, all)?,
            Testimony::Transactions(transactions) => {
                transactions_are_whole(transactions, committed)?;
            }
            Testimony::Seen { committed_only, rows } => {
                what_was_seen_stays(rows, if *committed_only { committed } else { all })?;
            }
        }
    }
    Ok(())
}

fn broken<T>(text: String) -> Result<T, Broken> {
    Err(Broken(text))
}

fn nothing_is_there_twice(all: &Rows) -> Result<(), Broken> {
    let mut seen = BTreeSet::new();
    for (partition, rows) in all {
        for (offset, value) in rows {
            if !seen.insert((partition, value)) {
                return broken(format!("{} is twice in {partition}, {offset}", value.text()));
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
                return broken(format!("{} is late in {partition}, {offset}", value.text()));
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
            return broken(format!("acknowledged {value} at {partition}, {offset}: {found:?}"));
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
                return broken(format!("a reader saw {value} at {partition}, {offset}: {found:?}"));
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
            return broken(format!("transaction {group} {ending:?}: {seen} of {sent} visible"));
        }
    }
    Ok(())
}
