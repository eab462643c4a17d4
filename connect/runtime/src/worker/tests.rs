//! The worker's machine as scripts: what is told to it on the left, what it wants done on the
//! right.

use std::collections::VecDeque;
use std::time::Duration;

use mainstem_platform::Instant;

use super::machine::{Command, Effect, Machine};
use super::records::{
    ConfigRecord, OffsetKey, Target, offset_key, parse_state_value, state_key, state_value,
};
use crate::definition::ConfigMap;
use crate::error::TaskError;

/// A machine whose records are kept, so that it can be restored.
#[derive(Default)]
struct World {
    machine: Machine,
    stored: Vec<ConfigRecord>,
    now: Instant,
    version: u64,
}

fn config(text: &str) -> ConfigMap {
    ConfigMap::from([("x".to_string(), text.to_string())])
}

impl World {
    /// Does one line of a script and draws the effects.
    fn step(&mut self, line: &str) -> String {
        let mut words: VecDeque<&str> = line.split(' ').collect();
        let verb = words.pop_front().unwrap_or_default();
        let argument = words.pop_front().unwrap_or_default();
        let name = "c".to_string();
        let mut refused = String::new();
        match verb {
            "create" | "put" | "delete" | "pause" | "resume" | "stop" => {
                let command = match verb {
                    "create" => {
                        Command::Create { name, config: config(argument), target: Target::Running }
                    }
                    "put" => Command::Put { name, config: config(argument) },
                    "delete" => Command::Delete { name },
                    "pause" => Command::SetTarget { name, target: Target::Paused },
                    "resume" => Command::SetTarget { name, target: Target::Running },
                    _ => Command::SetTarget { name, target: Target::Stopped },
                };
                match self.machine.decide(command) {
                    Ok(records) => self.store(records),
                    Err(refusal) => refused = format!("{} {}", refusal.status, refusal.message),
                }
            }
            "configured" => {
                let tasks = argument.split(',').map(config).collect();
                let version = self.version;
                let records = self.machine.handle_configured(self.now, "c", version, Ok(tasks));
                self.store(records);
            }
            "unconfigured" => {
                let error = TaskError::lasting(argument);
                self.machine.handle_configured(self.now, "c", self.version, Err(error));
            }
            "ended" | "failed" | "broke" => {
                let index = argument.parse().expect("an index");
                let result = match verb {
                    "ended" => Ok(()),
                    "failed" => Err(TaskError::lasting("bad data")),
                    _ => Err(TaskError::passing("no broker")),
                };
                self.machine.handle_task_ended(self.now, "c", index, result);
            }
            "restart" => {
                let only_failed = argument == "failed";
                let _ = self.machine.handle_restart("c", None, true, only_failed);
            }
            "wait" => {
                let seconds = argument.parse().expect("seconds");
                self.now = self.now.plus(Duration::from_secs(seconds));
            }
            // A new worker reads the topic.
            "reborn" => {
                self.machine = Machine::default();
                for record in &self.stored {
                    let value = record.value();
                    let parsed =
                        ConfigRecord::parse(&record.key(), value.as_deref().map(str::as_bytes));
                    assert_eq!(parsed.as_ref(), Some(record), "a record is read as it was written");
                    self.machine.apply(parsed.expect("it is known"));
                }
            }
            other => panic!("{other} is no verb"),
        }
        self.machine.reconcile(self.now);
        let mut drawn = vec![refused];
        while let Some(effect) = self.machine.poll_effect() {
            drawn.push(self.draw(effect));
        }
        drawn.retain(|text| !text.is_empty());
        drawn.join("; ")
    }

    fn store(&mut self, records: Vec<ConfigRecord>) {
        for record in records {
            self.stored.push(record.clone());
            self.machine.apply(record);
        }
    }

    fn draw(&mut self, effect: Effect) -> String {
        match effect {
            Effect::Configure { version, config, .. } => {
                self.version = version;
                format!("configure {}", config["x"])
            }
            Effect::StartTask { index, config, .. } => format!("start {index} {}", config["x"]),
            Effect::StopTask { index, .. } => format!("stop {index}"),
            Effect::WriteStatus { index, status, .. } => {
                let who = index.map_or("c".to_string(), |index| index.to_string());
                let trace = status.as_ref().and_then(|status| status.trace.clone());
                let trace = trace.map_or(String::new(), |trace| format!(" ({trace})"));
                format!("{who}={}{trace}", status.map_or("-", |status| status.state.name()))
            }
        }
    }
}

fn run(script: &[(&str, &str)]) {
    let mut world = World::default();
    for (line, expected) in script {
        assert_eq!(world.step(line), *expected, "{line}");
    }
}

#[test]
fn a_connector_lives_and_is_deleted() {
    run(&[
        ("create a", "configure a"),
        ("create b", "409 Connector c already exists"),
        ("configured a,b", "c=RUNNING; 0=RUNNING; start 0 a; 1=RUNNING; start 1 b"),
        ("delete", "stop 0; stop 1"),
        ("delete", "404 Connector c not found"),
        ("create b", "409 Connector c is still being deleted"),
        ("ended 1", "1=-"),
        ("ended 0", "0=-; c=-"),
        ("create b", "configure b"),
    ]);
}

#[test]
fn a_new_configuration_disturbs_only_the_tasks_that_it_changes() {
    run(&[
        ("create a", "configure a"),
        (
            "configured a,b,c",
            "c=RUNNING; 0=RUNNING; start 0 a; 1=RUNNING; start 1 b; 2=RUNNING; start 2 c",
        ),
        ("put d", "configure d"),
        ("configured a,x", "stop 2; c=RUNNING; stop 1"),
        ("ended 1", "1=RUNNING; start 1 x"),
        ("ended 2", "2=-"),
    ]);
}

#[test]
fn pausing_and_stopping_end_tasks_and_resuming_starts_them() {
    run(&[
        ("create a", "configure a"),
        ("configured a", "c=RUNNING; 0=RUNNING; start 0 a"),
        ("pause", "c=PAUSED; stop 0"),
        ("broke 0", "0=PAUSED"),
        ("resume", "c=RUNNING; 0=RUNNING; start 0 a"),
        ("stop", "c=STOPPED; stop 0"),
        ("ended 0", "0=-"),
        ("resume", "configure a"),
        ("configured a", "c=RUNNING; 0=RUNNING; start 0 a"),
    ]);
}

#[test]
fn passing_failures_are_retried_later_and_later_and_lasting_ones_are_not() {
    run(&[
        ("create a", "configure a"),
        ("configured a", "c=RUNNING; 0=RUNNING; start 0 a"),
        ("broke 0", "0=RESTARTING (no broker); 0=RUNNING; start 0 a"),
        ("broke 0", "0=RESTARTING (no broker)"),
        ("wait 1", ""),
        ("wait 1", "0=RUNNING; start 0 a"),
        ("broke 0", "0=RESTARTING (no broker)"),
        ("wait 5", ""),
        ("wait 1", "0=RUNNING; start 0 a"),
        ("failed 0", "0=FAILED (bad data)"),
        ("wait 1000", ""),
        ("restart failed", "0=RESTARTING; 0=RUNNING; start 0 a"),
        ("restart all", "stop 0; 0=RESTARTING; configure a"),
        ("ended 0", "0=RUNNING; start 0 a"),
        ("configured a", ""),
    ]);
}

#[test]
fn a_connector_that_cannot_be_configured_fails_until_it_is_changed() {
    run(&[
        ("create a", "configure a"),
        ("unconfigured denied", "c=FAILED (denied)"),
        ("wait 1000", ""),
        ("put b", "configure b"),
        ("configured b", "c=RUNNING; 0=RUNNING; start 0 b"),
    ]);
}

#[test]
fn a_new_worker_goes_on_where_the_topic_ends() {
    run(&[
        ("create a", "configure a"),
        ("configured a", "c=RUNNING; 0=RUNNING; start 0 a"),
        ("reborn", "configure a; 0=RUNNING; start 0 a"),
        ("configured a", "c=RUNNING"),
        ("pause", "c=PAUSED; stop 0"),
        ("ended 0", "0=PAUSED"),
        ("reborn", "c=PAUSED; 0=PAUSED"),
        ("delete", "0=-; c=-"),
        // Not compacted yet, so the connector is met once more on its way out.
        ("reborn", "0=-; c=-"),
    ]);
}

#[test]
fn keys_of_the_offsets_topic_are_kafka_connects() {
    let key = offset_key("c", "{ \"file\": \"/a\" }").expect("a JSON object");
    assert_eq!(key, "[\"c\",{\"file\":\"/a\"}]");
    assert_eq!(offset_key("c", "7"), None);
    let partition = "{\"file\":\"/a\"}".to_string();
    let connector = "c".to_string();
    assert_eq!(
        OffsetKey::parse(key.as_bytes()),
        Some(OffsetKey::Partition { connector: connector.clone(), partition })
    );
    let state = state_key("c", 3, "k");
    let parsed = OffsetKey::parse(state.as_bytes());
    assert_eq!(parsed, Some(OffsetKey::State { connector, task: 3, key: "k".to_string() }));
    let value = state_value(&[0, 255, 16]);
    assert_eq!(parse_state_value(value.as_bytes()), Some(vec![0, 255, 16]));
}
