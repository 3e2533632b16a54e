//! A command of the operator's on its way: a hook or a check. It runs below a guard as a payload
//! does, with its timeout for a lease, so that nothing of it outlives its time or its node.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sys::{BootTimer, boottime};
use wire::{Name, Time};

use super::options::Options;
use crate::component::exec::{ENV_GROUP, ENV_NODE};
use crate::component::guarded::Guarded;
use crate::component::lines::{LinePipe, Said};
use crate::component::message::{Ending, News, Order};
use crate::component::{Exec, PayloadOptions};

/// What all commands of a node have in common.
#[derive(Debug, Clone)]
pub struct Commands {
    /// For `LINEKEEPER_NODE`.
    pub node: Name,
    /// For `LINEKEEPER_GROUP`.
    pub group: Name,
    /// The binary that has the `guard` subcommand.
    pub guard: PathBuf,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Running {
    guard: Guarded,
    output: LinePipe,
    timer: BootTimer,
    began: Time,
    deadline: Time,
    /// A guard that is still there then hangs, and is killed.
    patience: Option<Time>,
    killed: bool,
    outcome: Option<Outcome>,
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself.
    Ended(ExitStatus),
    /// It took too long and was killed.
    TimedOut,
    /// It was killed, having become needless.
    Killed,
    /// It could not be started.
    NotStarted(String),
    /// Its guard has died, and it was killed with it.
    Unguarded,
}

impl Commands {
    /// Those of a node: with the guard of its first payload, which is this very program unless a
    /// test is the host.
    pub fn of(options: &Options) -> Self {
        let guard = options.lines.iter().find_map(|line| match &line.payload {
            Some(PayloadOptions::Exec(exec)) => Some(exec.guard.clone()),
            Some(PayloadOptions::Billing(billing)) => Some(billing.binary.clone()),
            _ => None,
        });
        Self {
            node: options.node.clone(),
            group: options.group.clone(),
            guard: guard.unwrap_or_else(|| Exec::new(OsString::new(), Vec::new()).guard),
        }
    }

    /// Starts a command; `environment` is added to what all of them have.
    pub(crate) fn start(
        &self,
        command: &[OsString],
        environment: &[(&str, &str)],
        epoch: u64,
        timeout: Duration,
    ) -> io::Result<Running> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command is given"));
        };
        let mut exec = Exec::new(program.clone(), arguments.to_vec());
        exec.guard.clone_from(&self.guard);
        let mut all = vec![(ENV_NODE, self.node.as_str()), (ENV_GROUP, self.group.as_str())];
        all.extend_from_slice(environment);
        let (output, theirs) = LinePipe::new()?;
        let streams = [Stdio::null(), Stdio::from(theirs.try_clone()?), Stdio::from(theirs)];
        let mut guard = Guarded::start(&exec, &all, streams)?;
        let began = now();
        let deadline = began + timeout;
        guard.tell_lease(Some(deadline));
        guard.order(Order::Start(epoch));
        Ok(Running {
            guard,
            output,
            timer: BootTimer::new()?,
            began,
            deadline,
            patience: Some(deadline + PATIENCE),
            killed: false,
            outcome: None,
        })
    }
}

impl Running {
    /// Waits for the end of it and of all that it has started; what it says is given to `say`
    /// meanwhile. Cancel-safe.
    pub(crate) async fn ended(&mut self, say: &mut impl FnMut(Said<'_>)) -> Outcome {
        loop {
            let told = async {
                self.output.tell(say).await;
                std::future::pending().await
            };
            let ended = tokio::select! {
                biased;
                ended = self.guard.event() => ended.is_some(),
                () = self.timer.until(self.patience.map(Time::since_boot)) => {
                    self.patience = None;
                    self.guard.kill();
                    false
                }
                () = told => false,
            };
            self.read_news();
            if ended {
                self.guard.ended();
                self.output.finish(say);
                let none = if self.killed { Outcome::Killed } else { Outcome::Unguarded };
                return self.outcome.take().unwrap_or(none);
            }
        }
    }

    fn read_news(&mut self) {
        while let Some(news) = self.guard.news() {
            let outcome = match news {
                News::Started(_) | News::Remains { .. } => continue,
                News::Failed(errno) => {
                    Outcome::NotStarted(io::Error::from_raw_os_error(errno).to_string())
                }
                News::Gone(_) if self.killed => Outcome::Killed,
                News::Gone(Ending::Status(_)) if now() >= self.deadline => Outcome::TimedOut,
                News::Gone(Ending::Status(raw)) => Outcome::Ended(ExitStatus::from_raw(raw)),
                News::Gone(_) => Outcome::TimedOut,
            };
            self.outcome.get_or_insert(outcome);
            if matches!(news, News::Gone(_)) {
                // The guard has nothing more to do.
                self.guard.order(Order::Kill);
            }
        }
    }

    /// Kills it with all that it has started; [`Self::ended`] tells when they are gone.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        self.patience = Some(now() + PATIENCE);
        self.guard.order(Order::Kill);
    }

    /// How long it has run.
    pub(crate) fn took(&self) -> Duration {
        now().since(self.began)
    }

    /// The guard's process, while it is there.
    pub(crate) fn guard_pid(&self) -> Option<u32> {
        self.guard.pid()
    }
}

impl Outcome {
    /// Whether it has done what it should.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Ended(status) if status.success())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(status) => status.fmt(f),
            Self::TimedOut => f.write_str("took too long and was killed"),
            Self::Killed => f.write_str("killed"),
            Self::Unguarded => f.write_str("its guard died"),
            Self::NotStarted(error) => write!(f, "could not be started: {error}"),
        }
    }
}

/// A command as an operator would write it, for the log.
pub(crate) fn shown(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| Path::new(word).display().to_string()).collect();
    words.join(" ")
}

fn now() -> Time {
    Time::from_boot(boottime())
}

/// A guard that has not ended what it should by then is killed.
const PATIENCE: Duration = Duration::from_secs(2);
