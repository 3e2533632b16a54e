//! The node's side of one component instance: a guard and the ways to its payload, or a bridge's
//! door, which needs no process and so no guard.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use wire::Time;

use super::door::Door;
use super::exec::{ENV_LINE, Exec};
use super::feed::Feed;
use super::framed::Framed;
use super::guarded::Guarded;
use super::lines::{LinePipe, Said as Line};
use super::message::{Ending, News, Order};
use super::options::{Bridge, ExecMode, PayloadOptions};
use super::streamed::Streamed;

/// One instance, from the claim to the end of the grant.
#[derive(Debug)]
pub(crate) struct Instance {
    host: Host,
    /// What the payload takes and says.
    pub(crate) feed: Feed,
    /// How far the payload has come.
    pub(crate) payload: Payload,
    /// The core wants the instance gone.
    pub(crate) ending: bool,
    /// A guard that has not done by then what it was told is killed.
    pub(crate) patience: Option<Time>,
    /// What [`Self::absence`] has told last.
    absent: bool,
}

/// What an instance runs in.
#[derive(Debug)]
enum Host {
    /// A process of its own, with the payload's standard error.
    Guard { guard: Box<Guarded>, errors: LinePipe, line: String },
    /// This one.
    Here(Here),
}

/// A bridge obeys the same orders as a guard, at once.
#[derive(Debug, Default)]
struct Here {
    news: VecDeque<News>,
    open: bool,
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    NotYet,
    /// Not told yet.
    Reached,
    Told,
}

/// How far a payload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Not started.
    None,
    /// Started, or about to be.
    Running,
    /// Gone, and the core was told.
    Gone,
}

/// What happened to an instance.
#[derive(Debug)]
pub(crate) enum InstanceEvent {
    /// The guard may have said something, or listen again.
    Control,
    /// The guard has ended.
    GuardEnded(io::Result<ExitStatus>),
    /// The payload may have said something, or listen again.
    Payload,
}

impl Instance {
    /// Starts what can be started before the grant: a guard. `environment` is for the payload.
    pub(crate) fn start(
        options: &PayloadOptions,
        environment: &[(&str, &str)],
    ) -> io::Result<Self> {
        let (host, feed) = match options {
            PayloadOptions::Exec(exec) => start_guard(exec, environment)?,
            PayloadOptions::Billing(billing) => start_guard(&billing.exec()?, environment)?,
            PayloadOptions::Bridge(Bridge { door, stream }) => {
                let stream = Streamed::door(*stream, Door::new(door.clone())?)?;
                (Host::Here(Here::default()), Feed::Stream(Box::new(stream)))
            }
        };
        let (payload, ending, patience, absent) = (Payload::None, false, None, false);
        Ok(Self { host, feed, payload, ending, patience, absent })
    }

    /// Whether the guard is there. A bridge needs none and always says so until its end.
    pub(crate) fn is_guarded(&self) -> bool {
        match &self.host {
            Host::Guard { guard, .. } => guard.is_there(),
            Host::Here(here) => here.end == End::NotYet,
        }
    }

    /// The guard's process, while it is there.
    pub(crate) fn guard_pid(&self) -> Option<u32> {
        match &self.host {
            Host::Guard { guard, .. } => guard.pid(),
            Host::Here(_) => None,
        }
    }

    /// Whether nobody is there who could take input, if that has changed: a bridge comes and goes
    /// without clients. Input that waits then is no sign of a stall.
    pub(crate) fn absence(&mut self) -> Option<bool> {
        let absent = self.payload == Payload::Running && self.door()?.is_idle();
        (std::mem::replace(&mut self.absent, absent) != absent).then_some(absent)
    }

    fn door(&mut self) -> Option<&mut Door> {
        match &mut self.feed {
            Feed::Stream(stream) => stream.door_mut(),
            Feed::Framed(_) => None,
        }
    }

    /// Tells the guard how long the lease lasts. A lease that has gone is not told: whoever gives
    /// it back has ended the payload before, and whoever loses it kills the instance.
    pub(crate) fn tell_lease(&mut self, until: Option<Time>) {
        if let Host::Guard { guard, .. } = &mut self.host {
            guard.tell_lease(until);
        }
    }

    /// Gives an order, behind the newest lease.
    pub(crate) fn order(&mut self, order: Order) {
        match &mut self.host {
            Host::Guard { guard, .. } => guard.order(order),
            Host::Here(_) => self.obey(order),
        }
    }

    fn obey(&mut self, order: Order) {
        let opened = match (order, self.door()) {
            (Order::Start(_), Some(door)) => Some(door.open()),
            (Order::Stop(_), Some(door)) => {
                door.close_in();
                None
            }
            (Order::Kill, Some(door)) => {
                door.close();
                None
            }
            _ => None,
        };
        let Host::Here(here) = &mut self.host else { return };
        match (order, opened) {
            (Order::Start(_), Some(Ok(()))) => {
                here.open = true;
                here.news.push_back(News::Started(std::process::id()));
            }
            (Order::Start(_), Some(Err(error))) => {
                here.news.push_back(News::Failed(error.raw_os_error().unwrap_or(0)));
                here.news.push_back(News::Gone(Ending::NeverRan));
            }
            (Order::Stop(_) | Order::Kill, _) => {
                if std::mem::take(&mut here.open) {
                    here.news.push_back(News::Gone(Ending::Closed));
                }
                if order == Order::Kill && here.end == End::NotYet {
                    here.end = End::Reached;
                }
            }
            _ => {}
        }
    }

    /// Waits for what happens next; the payload's standard error goes into the log meanwhile.
    /// Cancel-safe.
    pub(crate) async fn event(&mut self, read_payload: bool) -> InstanceEvent {
        let Self { host, feed, .. } = self;
        match host {
            Host::Guard { guard, errors, line } => {
                if !guard.is_there() {
                    return pending().await;
                }
                let mut say = |said: Line<'_>| log_line(line, said);
                let tell = async {
                    errors.tell(&mut say).await;
                    pending().await
                };
                tokio::select! {
                    // What the guard says is read before its end is noticed.
                    biased;
                    ended = guard.event() => match ended {
                        None => InstanceEvent::Control,
                        Some(status) => InstanceEvent::GuardEnded(status),
                    },
                    () = feed.ready(read_payload) => InstanceEvent::Payload,
                    () = tell => InstanceEvent::Control,
                }
            }
            Host::Here(here) if !here.news.is_empty() => InstanceEvent::Control,
            Host::Here(here) => match here.end {
                End::Reached => InstanceEvent::GuardEnded(Ok(ExitStatus::default())),
                End::Told => pending().await,
                End::NotYet => {
                    feed.ready(read_payload).await;
                    InstanceEvent::Payload
                }
            },
        }
    }

    /// What the guard says. `None`: nothing more at present.
    pub(crate) fn news(&mut self) -> Option<News> {
        match &mut self.host {
            Host::Guard { guard, errors, line } => {
                let news = guard.news()?;
                if matches!(news, News::Gone(_)) {
                    errors.finish(&mut |said| log_line(line, said));
                }
                Some(news)
            }
            Host::Here(here) => here.news.pop_front(),
        }
    }

    /// The guard has ended.
    pub(crate) fn guard_ended(&mut self) {
        match &mut self.host {
            Host::Guard { guard, errors, line } => {
                guard.ended();
                errors.finish(&mut |said| log_line(line, said));
            }
            Host::Here(here) => here.end = End::Told,
        }
    }

    /// Kills a guard that does not end. The payload dies with it by its death signal.
    pub(crate) fn kill_guard(&mut self) {
        if let Host::Guard { guard, .. } = &mut self.host {
            guard.kill();
        }
    }
}

fn start_guard(exec: &Exec, environment: &[(&str, &str)]) -> io::Result<(Host, Feed)> {
    let (errors, stderr) = LinePipe::new()?;
    let (feed, stdin, stdout) = match exec.mode {
        ExecMode::Framed => {
            let (framed, stdin, stdout) = Framed::new()?;
            (Feed::Framed(Box::new(framed)), OwnedFd::from(stdin), OwnedFd::from(stdout))
        }
        ExecMode::Stream(stream) => {
            let (stream, stdin, stdout) = Streamed::pipes(stream)?;
            (Feed::Stream(Box::new(stream)), OwnedFd::from(stdin), OwnedFd::from(stdout))
        }
        ExecMode::Pty(stream) => {
            let (stream, slave) = Streamed::terminal(stream)?;
            (Feed::Stream(Box::new(stream)), slave.try_clone()?, slave)
        }
    };
    let streams = [Stdio::from(stdin), Stdio::from(stdout), Stdio::from(stderr)];
    let guard = Box::new(Guarded::start(exec, environment, streams)?);
    let line = environment.iter().find(|(name, _)| *name == ENV_LINE);
    let line = line.map_or_else(String::new, |(_, line)| (*line).to_owned());
    Ok((Host::Guard { guard, errors, line }, feed))
}

fn log_line(line: &str, said: Line<'_>) {
    match said {
        Line::Line(text) => tracing::info!(line, text, "payload-stderr"),
        Line::Dropped(lines) => tracing::warn!(line, lines, "payload-stderr-dropped"),
    }
}
