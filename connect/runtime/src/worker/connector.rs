//! One connector and its tasks within the machine: what they should do, what they do, and the steps
//! from one to the other.
//!
//! Everything here is called by the machine alone and speaks to the world through its queue of
//! effects.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstem_platform::Instant;

use super::machine::Effect;
use super::records::Target;
use crate::definition::ConfigMap;
use crate::limits;

/// Kafka Connect's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Unassigned,
    Running,
    Paused,
    Stopped,
    Failed,
    Restarting,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Unassigned => "UNASSIGNED",
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
            State::Stopped => "STOPPED",
            State::Failed => "FAILED",
            State::Restarting => "RESTARTING",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub state: State,
    pub trace: Option<String>,
    pub generation: u64,
}

impl Status {
    fn new(state: State, generation: u64) -> Status {
        Status { state, trace: None, generation }
    }
}

/// One task index of a connector.
#[derive(Debug)]
pub(crate) struct Task {
    pub config: ConfigMap,
    pub status: Status,
    pub(super) live: bool,
    pub(super) stopping: bool,
    /// The connector has fewer tasks now: this one ends and is forgotten.
    pub(super) surplus: bool,
    /// Failures since it last made progress.
    pub(super) failures: u32,
    pub(super) restart_at: Option<Instant>,
}

/// One connector.
#[derive(Debug)]
pub(crate) struct Connector {
    pub config: ConfigMap,
    pub target: Target,
    pub status: Status,
    pub tasks: BTreeMap<u32, Task>,
    pub(super) deleted: bool,
    /// Counts configurations and restarts.
    pub(super) version: u64,
    /// The version that the tasks' configurations were made from.
    pub(super) configured: Option<u64>,
    pub(super) configuring: bool,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Task records that wait for their commit.
    pub(super) pending: BTreeMap<u32, ConfigMap>,
}

impl Connector {
    pub(super) fn new(config: ConfigMap, target: Target, version: u64) -> Connector {
        Connector {
            config,
            target,
            status: Status::new(State::Unassigned, version),
            tasks: BTreeMap::new(),
            deleted: false,
            version,
            configured: None,
            configuring: false,
            failures: 0,
            retry_at: None,
            pending: BTreeMap::new(),
        }
    }

    pub(crate) fn has_live_task(&self) -> bool {
        self.tasks.values().any(|task| task.live)
    }

    pub(super) fn commit_tasks(&mut self, tasks: u32) {
        let pending = std::mem::take(&mut self.pending);
        let complete = (0..tasks).all(|index| pending.contains_key(&index));
        // Compaction may have taken task records of an older commit; then the plugin is asked
        // again.
        if !complete {
            self.configured = None;
            return;
        }
        for (_, task) in self.tasks.range_mut(tasks..) {
            task.surplus = true;
        }
        for (index, config) in pending {
            match self.tasks.get_mut(&index) {
                // A configuration that did not change does not disturb its task.
                Some(task) if task.config == config => task.surplus = false,
                Some(task) => {
                    task.config = config;
                    task.surplus = false;
                    task.failures = 0;
                    task.restart_at = None;
                    task.status = Status::new(State::Unassigned, task.status.generation);
                }
                None => drop(self.tasks.insert(index, Task::new(config))),
            }
        }
    }

    /// Stops these tasks and forgets those that have ended.
    pub(super) fn retire(
        &mut self,
        name: &str,
        effects: &mut VecDeque<Effect>,
        which: impl Fn(&Task) -> bool,
    ) {
        let mut ended = Vec::new();
        for (index, task) in self.tasks.iter_mut().filter(|(_, task)| which(task)) {
            stop_task(effects, name, *index, task);
            if !task.live {
                ended.push(*index);
            }
        }
        for index in ended {
            self.tasks.remove(&index);
            let index = Some(index);
            effects.push_back(Effect::WriteStatus { name: name.to_string(), index, status: None });
        }
    }

    pub(super) fn follow_target(
        &mut self,
        now: Instant,
        name: &str,
        generation: &mut u64,
        effects: &mut VecDeque<Effect>,
    ) {
        let resting = match self.target {
            Target::Running => None,
            Target::Paused => Some(State::Paused),
            Target::Stopped => Some(State::Stopped),
        };
        if let Some(state) = resting {
            self.rest(name, state, effects);
            return;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.configured = None;
        }
        let stale = self.configured != Some(self.version);
        if stale && !self.configuring && self.retry_at.is_none() {
            self.configuring = true;
            let (version, config) = (self.version, self.config.clone());
            effects.push_back(Effect::Configure { name: name.to_string(), version, config });
        }
        if self.configured == Some(self.version) && self.retry_at.is_none() && self.failures == 0 {
            set_connector_status(effects, name, self, Status::new(State::Running, self.version));
        }
        for (index, task) in &mut self.tasks {
            follow_task(now, name, *index, task, generation, effects);
        }
    }

    pub(super) fn rest(&mut self, name: &str, state: State, effects: &mut VecDeque<Effect>) {
        self.retry_at = None;
        self.failures = 0;
        let status = Status::new(state, self.version);
        set_connector_status(effects, name, self, status);
        if state == State::Stopped {
            // Stopping frees the tasks; resuming asks the plugin again.
            self.configured = None;
            self.retire(name, effects, |_| true);
            return;
        }
        for (index, task) in &mut self.tasks {
            stop_task(effects, name, *index, task);
            task.restart_at = None;
            task.failures = 0;
            if !task.live {
                let status = Status::new(state, task.status.generation);
                set_task_status(effects, name, *index, task, status);
            }
        }
    }
}

impl Task {
    pub(super) fn new(config: ConfigMap) -> Task {
        Task {
            config,
            status: Status::new(State::Unassigned, 0),
            live: false,
            stopping: false,
            surplus: false,
            failures: 0,
            restart_at: None,
        }
    }
}

fn follow_task(
    now: Instant,
    name: &str,
    index: u32,
    task: &mut Task,
    generation: &mut u64,
    effects: &mut VecDeque<Effect>,
) {
    if task.surplus {
        return;
    }
    if task.live {
        if task.status.state == State::Unassigned {
            // It runs an older configuration.
            stop_task(effects, name, index, task);
        }
        return;
    }
    let due = match task.status.state {
        State::Failed => false,
        State::Restarting => task.restart_at.is_none_or(|at| at <= now),
        _ => true,
    };
    if due {
        *generation += 1;
        task.live = true;
        task.restart_at = None;
        let (name_owned, config) = (name.to_string(), task.config.clone());
        let generation = *generation;
        set_task_status(effects, name, index, task, Status::new(State::Running, generation));
        effects.push_back(Effect::StartTask { name: name_owned, index, generation, config });
    }
}

fn stop_task(effects: &mut VecDeque<Effect>, name: &str, index: u32, task: &mut Task) {
    if task.live && !task.stopping {
        task.stopping = true;
        effects.push_back(Effect::StopTask { name: name.to_string(), index });
    }
}

/// A live task is stopped and starts anew when it has ended; a failed one may start at once.
pub(super) fn restart_task(
    effects: &mut VecDeque<Effect>,
    name: &str,
    index: u32,
    task: &mut Task,
) {
    task.failures = 0;
    task.restart_at = None;
    stop_task(effects, name, index, task);
    let status = Status::new(State::Restarting, task.status.generation);
    set_task_status(effects, name, index, task, status);
}

pub(super) fn set_task_status(
    effects: &mut VecDeque<Effect>,
    name: &str,
    index: u32,
    task: &mut Task,
    status: Status,
) {
    if task.status != status {
        task.status = status.clone();
        let (index, status) = (Some(index), Some(status));
        effects.push_back(Effect::WriteStatus { name: name.to_string(), index, status });
    }
}

pub(super) fn set_connector_status(
    effects: &mut VecDeque<Effect>,
    name: &str,
    connector: &mut Connector,
    status: Status,
) {
    if connector.status != status {
        connector.status = status.clone();
        let status = Some(status);
        effects.push_back(Effect::WriteStatus { name: name.to_string(), index: None, status });
    }
}

/// `n * n + n` seconds before the try after the n-th failure in a row, beginning with none.
pub(super) fn restart_pause(failures: u32) -> Duration {
    let n = u64::from(failures.saturating_sub(1));
    Duration::from_secs(n * n + n).min(limits::RESTART_PAUSE_MAX)
}
