//! The commands that run when the role changes: one after the other, in the order in which their
//! events came, each to its end. What they do to an address or a name must not be overtaken.

use std::collections::VecDeque;
use std::future::pending;

use wire::{Epoch, Name};

use super::command::{Commands, Outcome, Running, shown};
use super::options::{Hook, Hooks};
use crate::component::exec::ENV_LINE;
use crate::component::lines::Said;

/// Runs the hooks of a node.
#[derive(Debug)]
pub struct HookRunner {
    hooks: Hooks,
    commands: Commands,
    queue: VecDeque<HookCall>,
    run: Option<Run>,
    gates: VecDeque<Gate>,
}

/// An event, and what its hooks are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// `LINEKEEPER_EVENT`.
    pub event: HookEvent,
    /// `LINEKEEPER_LINE`.
    pub line: Name,
    /// `LINEKEEPER_EPOCH`: the grant that begins or has ended.
    pub epoch: Epoch,
    /// `LINEKEEPER_CAUSE`: the log's word for why.
    pub cause: String,
    /// `LINEKEEPER_COORDINATOR`: who has the line now, as far as is known.
    pub coordinator: Option<Name>,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// After the grant and before the payload, which waits for it.
    BeforeServe,
    /// When the payload runs.
    AfterServe,
    /// When the node is no longer coordinator and its payload is gone.
    AfterStop,
}

/// The hooks before a payload have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The line.
    pub line: Name,
    /// The grant; another may be in force already.
    pub epoch: Epoch,
    /// The payload may start. If not, why was logged.
    pub passed: bool,
}

#[derive(Debug)]
struct Run {
    call: HookCall,
    /// Those of the event as it began: a reload counts from the next one on.
    hooks: Vec<Hook>,
    /// Which of them.
    step: usize,
    running: Running,
    /// Nobody waits for its gate any more.
    void: bool,
}

impl HookRunner {
    /// For the hooks of a node.
    pub fn new(hooks: Hooks, commands: Commands) -> Self {
        let (queue, gates) = (VecDeque::new(), VecDeque::new());
        Self { hooks, commands, queue, run: None, gates }
    }

    /// Other hooks from the next event on, after a reload.
    pub fn set_hooks(&mut self, hooks: Hooks) {
        self.hooks = hooks;
    }

    /// Something has happened. For [`HookEvent::BeforeServe`] there will be a [`Gate`].
    pub fn push(&mut self, call: HookCall) {
        if self.of(call.event).is_empty() {
            // It passes at once, past what may still run for others.
            return self.open_gate(&call, true);
        }
        if self.queue.len() >= MAX_QUEUE
            && let Some(oldest) =
                self.queue.iter().position(|call| call.event != HookEvent::BeforeServe)
            && let Some(dropped) = self.queue.remove(oldest)
        {
            let advice = "hooks take longer than the role stays; give them shorter timeouts";
            tracing::error!(event = dropped.event.word(), line = %dropped.line, advice, "hook-dropped");
        }
        self.queue.push_back(call);
    }

    /// The grant of a line has ended: nobody waits for its gate any more.
    pub fn kill_gate(&mut self, line: &Name) {
        let waits = |call: &HookCall| call.event == HookEvent::BeforeServe && call.line == *line;
        self.queue.retain(|call| !waits(call));
        self.gates.retain(|gate| gate.line != *line);
        if let Some(run) = self.run.as_mut().filter(|run| waits(&run.call) && !run.void) {
            run.void = true;
            run.running.kill();
        }
    }

    /// Runs hooks until a gate is decided. Cancel-safe; nothing runs while it is not polled.
    pub async fn event(&mut self) -> Gate {
        loop {
            if let Some(gate) = self.gates.pop_front() {
                return gate;
            }
            if let Some(run) = &mut self.run {
                let (event, line) = (run.call.event.word(), run.call.line.clone());
                let mut say = |said: Said<'_>| match said {
                    Said::Line(text) => tracing::info!(event, %line, text, "hook-output"),
                    Said::Dropped(lines) => {
                        tracing::warn!(event, %line, lines, "hook-output-dropped");
                    }
                };
                let outcome = run.running.ended(&mut say).await;
                self.ended(&outcome);
            } else if let Some(call) = self.queue.pop_front() {
                let hooks = self.of(call.event).to_vec();
                self.start(call, hooks, 0);
            } else {
                return pending().await;
            }
        }
    }

    /// Whether a hook runs, or waits for its turn.
    pub fn is_busy(&self) -> bool {
        self.run.is_some() || !self.queue.is_empty()
    }

    /// The guard of the hook that runs: a child of this process that is no stray.
    pub fn guard_pid(&self) -> Option<u32> {
        self.run.as_ref().and_then(|run| run.running.guard_pid())
    }

    fn of(&self, event: HookEvent) -> &[Hook] {
        match event {
            HookEvent::BeforeServe => &self.hooks.before_serve,
            HookEvent::AfterServe => &self.hooks.after_serve,
            HookEvent::AfterStop => &self.hooks.after_stop,
        }
    }

    /// Starts a hook of an event, or ends the event after its last one.
    fn start(&mut self, call: HookCall, hooks: Vec<Hook>, step: usize) {
        let Some(hook) = hooks.get(step) else {
            return self.open_gate(&call, true);
        };
        let coordinator = call.coordinator.as_ref().map_or("", Name::as_str);
        let environment = [
            (ENV_EVENT, call.event.word()),
            (ENV_LINE, call.line.as_str()),
            (ENV_CAUSE, call.cause.as_str()),
            (ENV_COORDINATOR, coordinator),
        ];
        match self.commands.start(&hook.command, &environment, call.epoch.0, hook.timeout) {
            Ok(running) => self.run = Some(Run { call, hooks, step, running, void: false }),
            Err(error) => {
                let outcome = Outcome::NotStarted(error.to_string());
                self.next(call, hooks, step, &outcome);
            }
        }
    }

    fn ended(&mut self, outcome: &Outcome) {
        let Some(Run { call, hooks, step, running, void }) = self.run.take() else { return };
        let (event, ms) = (call.event.word(), running.took().as_millis() as u64);
        if void {
            return tracing::info!(event, line = %call.line, ms, "hook-killed");
        }
        tracing::info!(event, line = %call.line, ms, status = %outcome, "hook-ended");
        self.next(call, hooks, step, outcome);
    }

    /// A gate closes with its first failure; what comes after the fact goes on.
    fn next(&mut self, call: HookCall, hooks: Vec<Hook>, step: usize, outcome: &Outcome) {
        if !outcome.is_success() {
            let command = hooks.get(step).map(|hook| shown(&hook.command));
            let (event, line) = (call.event.word(), &call.line);
            tracing::warn!(event, %line, command, why = %outcome, "hook-failed");
            if call.event == HookEvent::BeforeServe {
                return self.open_gate(&call, false);
            }
        }
        self.start(call, hooks, step + 1);
    }

    fn open_gate(&mut self, call: &HookCall, passed: bool) {
        if call.event == HookEvent::BeforeServe {
            let (line, epoch) = (call.line.clone(), call.epoch);
            self.gates.push_back(Gate { line, epoch, passed });
        }
    }
}

impl HookEvent {
    /// Its name in the configuration, the environment and the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BeforeServe => "before-serve",
            Self::AfterServe => "after-serve",
            Self::AfterStop => "after-stop",
        }
    }
}

/// A hook's environment: `before-serve`, `after-serve` or `after-stop`.
pub const ENV_EVENT: &str = "LINEKEEPER_EVENT";
/// Why, by the log's word.
pub const ENV_CAUSE: &str = "LINEKEEPER_CAUSE";
/// Who has the line now, as far as is known; else empty.
pub const ENV_COORDINATOR: &str = "LINEKEEPER_COORDINATOR";
/// Events that wait for a hook. At some seconds each this is minutes of flapping, of which the
/// oldest are no news.
const MAX_QUEUE: usize = 64;
