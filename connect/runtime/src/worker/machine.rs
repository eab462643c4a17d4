//! The worker as a machine: which connectors exist, what they should do, what they do, and what to
//! do next.
//!
//! - `decide` reads only: it turns a command into records of the config topic, or refuses it.
//! - `apply` is the only way in which those records change the machine, at start and later.
//! - `handle_*` takes what happened to configuring and to tasks.
//! - `poll_effect` gives what to do: start, stop, configure, write a status.
//!
//! Invariants:
//! - a task index has at most one live task; the next one starts when the last one has ended;
//! - a live task runs the configuration that is current, or has been told to stop;
//! - a connector that was deleted is forgotten once its last task has ended.
//!
//! Absent: threads, topics, plugins, time of day. `now` is an argument.

use std::collections::{BTreeMap, VecDeque};

use mainstem_platform::Instant;

use super::connector::{
    Connector, State, Status, restart_pause, restart_task, set_connector_status, set_task_status,
};
use super::records::{ConfigRecord, Target};
use crate::definition::ConfigMap;
use crate::error::{Refusal, TaskError};
use crate::limits;

/// What somebody asks for. The configuration of `Put` has been validated.
#[derive(Debug)]
pub(crate) enum Command {
    Create { name: String, config: ConfigMap, target: Target },
    Put { name: String, config: ConfigMap },
    Delete { name: String },
    SetTarget { name: String, target: Target },
}

/// What the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask the plugin how to split the work; answer with `handle_configured`.
    Configure {
        name: String,
        version: u64,
        config: ConfigMap,
    },
    /// Answer with `handle_task_ended` once it has ended, whatever the reason.
    StartTask {
        name: String,
        index: u32,
        generation: u64,
        config: ConfigMap,
    },
    StopTask {
        name: String,
        index: u32,
    },
    /// `index` is none for the connector itself; `state` none removes the status.
    WriteStatus {
        name: String,
        index: Option<u32>,
        status: Option<Status>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Machine {
    connectors: BTreeMap<String, Connector>,
    /// States that were read before their connector.
    early_targets: BTreeMap<String, Target>,
    effects: VecDeque<Effect>,
    generation: u64,
}

impl Machine {
    /// The connectors that exist, by name.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = (&String, &Connector)> {
        self.connectors.iter().filter(|(_, connector)| !connector.deleted)
    }

    pub(crate) fn connector(&self, name: &str) -> Result<&Connector, Refusal> {
        let connector = self.connectors.get(name).filter(|connector| !connector.deleted);
        connector.ok_or_else(|| Refusal::unknown_connector(name))
    }

    pub(crate) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_deadline` wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let connectors = self.connectors.values();
        let times = connectors.flat_map(|connector| {
            let tasks = connector.tasks.values().filter_map(|task| task.restart_at);
            tasks.chain(connector.retry_at)
        });
        times.min()
    }

    /// The records that carry out a command, or why not.
    pub(crate) fn decide(&self, command: Command) -> Result<Vec<ConfigRecord>, Refusal> {
        match command {
            Command::Create { name, config, target } => {
                if self.connector(&name).is_ok() {
                    return Err(Refusal::new(409, format!("Connector {name} already exists")));
                }
                if self.connectors.contains_key(&name) {
                    return Err(Refusal::new(
                        409,
                        format!("Connector {name} is still being deleted"),
                    ));
                }
                if limits::CONNECTORS_MAX <= self.connectors.len() {
                    return Err(Refusal::new(409, "This worker has too many connectors"));
                }
                // The target first: a worker that reads the two must not start a connector that is
                // to be stopped.
                let target = Some(target);
                Ok(vec![
                    ConfigRecord::TargetState { name: name.clone(), target },
                    ConfigRecord::Connector { name, config: Some(config) },
                ])
            }
            Command::Put { name, config } => {
                self.connector(&name)?;
                Ok(vec![ConfigRecord::Connector { name, config: Some(config) }])
            }
            Command::Delete { name } => {
                self.connector(&name)?;
                Ok(vec![
                    ConfigRecord::Connector { name: name.clone(), config: None },
                    ConfigRecord::TargetState { name, target: None },
                ])
            }
            Command::SetTarget { name, target } => {
                self.connector(&name)?;
                Ok(vec![ConfigRecord::TargetState { name, target: Some(target) }])
            }
        }
    }

    /// Takes in one record of the config topic.
    pub(crate) fn apply(&mut self, record: ConfigRecord) {
        match record {
            ConfigRecord::Connector { name, config: Some(config) } => {
                self.apply_config(name, config);
            }
            ConfigRecord::Connector { name, config: None } => {
                self.early_targets.remove(&name);
                if let Some(connector) = self.connectors.get_mut(&name) {
                    connector.deleted = true;
                }
            }
            ConfigRecord::TargetState { name, target: Some(target) } => {
                match self.connectors.get_mut(&name).filter(|connector| !connector.deleted) {
                    Some(connector) => connector.target = target,
                    None => drop(self.early_targets.insert(name, target)),
                }
            }
            ConfigRecord::TargetState { name, target: None } => {
                self.early_targets.remove(&name);
            }
            ConfigRecord::Task { name, index, config } => {
                if let (Some(connector), Some(config)) = (self.connectors.get_mut(&name), config) {
                    connector.pending.insert(index, config);
                }
            }
            ConfigRecord::Commit { name, tasks } => {
                if let Some(connector) = self.connectors.get_mut(&name) {
                    connector.commit_tasks(tasks);
                }
            }
        }
    }

    fn apply_config(&mut self, name: String, config: ConfigMap) {
        let target = self.early_targets.remove(&name);
        self.generation += 1;
        let version = self.generation;
        match self.connectors.get_mut(&name) {
            Some(connector) => {
                connector.deleted = false;
                connector.config = config;
                connector.version = version;
                connector.failures = 0;
                connector.retry_at = None;
                connector.target = target.unwrap_or(connector.target);
            }
            None => {
                let target = target.unwrap_or_default();
                self.connectors.insert(name, Connector::new(config, target, version));
            }
        }
    }

    /// The answer to [`Effect::Configure`]; gives the records to be written and applied.
    pub(crate) fn handle_configured(
        &mut self,
        now: Instant,
        name: &str,
        version: u64,
        result: Result<Vec<ConfigMap>, TaskError>,
    ) -> Vec<ConfigRecord> {
        let Some(connector) = self.connectors.get_mut(name) else { return Vec::new() };
        connector.configuring = false;
        if connector.deleted || connector.version != version {
            return Vec::new();
        }
        connector.configured = Some(version);
        match result {
            Err(error) => {
                connector.failures += 1;
                let retry = error.passing && connector.failures <= limits::RESTARTS_MAX;
                connector.retry_at = retry.then(|| now.plus(restart_pause(connector.failures)));
                let state = if retry { State::Restarting } else { State::Failed };
                let status = Status { state, trace: Some(error.trace), generation: version };
                set_connector_status(&mut self.effects, name, connector, status);
                Vec::new()
            }
            Ok(configs) => {
                connector.failures = 0;
                let mut records: Vec<ConfigRecord> = Vec::new();
                let tasks = u32::try_from(configs.len()).unwrap_or(u32::MAX);
                for (index, config) in (0..).zip(configs) {
                    let (name, config) = (name.to_string(), Some(config));
                    records.push(ConfigRecord::Task { name, index, config });
                }
                records.push(ConfigRecord::Commit { name: name.to_string(), tasks });
                records
            }
        }
    }

    /// The task makes progress: earlier failures are forgiven.
    pub(crate) fn handle_progress(&mut self, name: &str, index: u32, generation: u64) {
        let connector = self.connectors.get_mut(name);
        if let Some(task) = connector.and_then(|connector| connector.tasks.get_mut(&index))
            && task.status.generation == generation
        {
            task.failures = 0;
        }
    }

    /// A task ended by itself or because it was told to.
    pub(crate) fn handle_task_ended(
        &mut self,
        now: Instant,
        name: &str,
        index: u32,
        result: Result<(), TaskError>,
    ) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let Some(task) = connector.tasks.get_mut(&index) else { return };
        let was_told = task.stopping;
        task.live = false;
        task.stopping = false;
        if let (Err(error), false) = (result, was_told) {
            task.failures += 1;
            let retry = error.passing && task.failures <= limits::RESTARTS_MAX;
            let state = if retry { State::Restarting } else { State::Failed };
            task.restart_at = retry.then(|| now.plus(restart_pause(task.failures)));
            let generation = task.status.generation;
            let status = Status { state, trace: Some(error.trace), generation };
            set_task_status(&mut self.effects, name, index, task, status);
        }
    }

    /// Starts what failed, or everything, again. `tasks` none is the connector with or without its
    /// tasks.
    pub(crate) fn handle_restart(
        &mut self,
        name: &str,
        only_task: Option<u32>,
        include_tasks: bool,
        only_failed: bool,
    ) -> Result<(), Refusal> {
        self.connector(name)?;
        let Some(connector) = self.connectors.get_mut(name) else { return Ok(()) };
        if let Some(index) = only_task {
            let task = connector.tasks.get_mut(&index);
            let task =
                task.ok_or_else(|| Refusal::new(404, format!("Task {name}-{index} not found")))?;
            restart_task(&mut self.effects, name, index, task);
            return Ok(());
        }
        if !only_failed || connector.status.state == State::Failed {
            connector.failures = 0;
            connector.retry_at = None;
            // Asked again; tasks whose configuration comes out the same keep running.
            connector.configured = None;
        }
        if include_tasks {
            for (index, task) in &mut connector.tasks {
                if !only_failed || task.status.state == State::Failed {
                    restart_task(&mut self.effects, name, *index, task);
                }
            }
        }
        Ok(())
    }

    /// Makes what is follow what should be. Called after everything that may have changed either.
    pub(crate) fn reconcile(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (name, connector) in &mut self.connectors {
            if connector.deleted {
                connector.retire(name, &mut self.effects, |_| true);
                if connector.tasks.is_empty() && !connector.configuring {
                    gone.push(name.clone());
                }
                continue;
            }
            connector.retire(name, &mut self.effects, |task| task.surplus);
            connector.follow_target(now, name, &mut self.generation, &mut self.effects);
        }
        for name in gone {
            self.connectors.remove(&name);
            self.effects.push_back(Effect::WriteStatus { name, index: None, status: None });
        }
    }
}
