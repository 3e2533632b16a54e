//! The command that says whether this node is fit to serve: run now and then, judged after so many
//! failures in a row.

use sys::{BootTimer, boottime};
use wire::Time;

use super::command::{Commands, Outcome, Running, shown};
use super::options::Check;
use crate::component::lines::Said;

/// Runs the check command of a node.
#[derive(Debug)]
pub struct Checker {
    check: Option<Check>,
    commands: Commands,
    coordinator: bool,
    running: Option<Running>,
    /// The next run, while there is none.
    next: Time,
    /// Failures in a row.
    failures: u32,
    fit: bool,
    /// What [`Self::event`] has told last.
    told: bool,
    timer: BootTimer,
}

impl Checker {
    /// A node is fit until it has failed; without a check it always is.
    ///
    /// # Errors
    /// The process has no file descriptors left.
    pub fn new(check: Option<Check>, commands: Commands) -> std::io::Result<Self> {
        Ok(Self {
            check,
            commands,
            coordinator: false,
            running: None,
            next: Time::ZERO,
            failures: 0,
            fit: true,
            told: true,
            timer: BootTimer::new()?,
        })
    }

    /// Another check from now on, after a reload; its failures count anew.
    pub fn set_check(&mut self, check: Option<Check>) {
        if self.check != check {
            self.check = check;
            self.begin_anew();
        }
    }

    /// Whether this node is coordinator: only then the check runs, unless it runs on standbys, too.
    pub fn set_coordinator(&mut self, coordinator: bool) {
        if self.coordinator == coordinator {
            return;
        }
        self.coordinator = coordinator;
        if self.check.as_ref().is_some_and(|check| !check.standby) {
            // Nobody looks any more, or nobody has looked yet: no judgement is older than that.
            self.begin_anew();
        }
    }

    fn begin_anew(&mut self) {
        (self.failures, self.fit, self.next) = (0, true, Time::ZERO);
        // It would judge what is no longer asked.
        if let Some(running) = &mut self.running {
            running.kill();
        }
    }

    /// Runs the check until its judgement changes: whether the node is fit. Cancel-safe; nothing
    /// runs while it is not polled.
    pub async fn event(&mut self) -> bool {
        loop {
            if self.fit != self.told {
                self.told = self.fit;
                return self.fit;
            }
            if let Some(running) = &mut self.running {
                let mut say = |said: Said<'_>| match said {
                    Said::Line(text) => tracing::info!(text, "check-output"),
                    Said::Dropped(lines) => tracing::warn!(lines, "check-output-dropped"),
                };
                let outcome = running.ended(&mut say).await;
                self.running = None;
                self.ended(&outcome);
                continue;
            }
            let wanted = self.check.as_ref().filter(|check| check.standby || self.coordinator);
            self.timer.until(wanted.map(|_| self.next.since_boot())).await;
            self.start();
        }
    }

    /// The guard of the check that runs: a child of this process that is no stray.
    pub fn guard_pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(Running::guard_pid)
    }

    fn start(&mut self) {
        let Some(check) = &self.check else { return };
        let role = if self.coordinator { "coordinator" } else { "standby" };
        let environment = [(crate::component::exec::ENV_ROLE, role)];
        match self.commands.start(&check.command, &environment, 0, check.timeout) {
            Ok(running) => self.running = Some(running),
            Err(error) => self.ended(&Outcome::NotStarted(error.to_string())),
        }
    }

    fn ended(&mut self, outcome: &Outcome) {
        let Some(check) = &self.check else { return };
        if *outcome == Outcome::Killed {
            return;
        }
        self.next = Time::from_boot(boottime()) + check.interval;
        if outcome.is_success() {
            (self.failures, self.fit) = (0, true);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let (failures, of) = (self.failures, check.failures);
        if failures <= of {
            let command = shown(&check.command);
            tracing::warn!(command, why = %outcome, failures, of, "check-failed");
        }
        if failures >= of {
            self.fit = false;
        }
    }
}
