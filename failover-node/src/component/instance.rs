//! The node's side of one component instance: its guard, and the pipes to its payload.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Command, ExitStatus};

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::Child;
use wire::Time;

use super::exec::Exec;
use super::framed::Framed;
use super::message::{self, News, Order};

/// A guard, and what it guards.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `None`: it has ended.
    guard: Option<Child>,
    control: UnixStream,
    /// The guard's end is closed, so that the socket would be readable for ever.
    silent: bool,
    received: Vec<u8>,
    /// Orders on their way.
    orders: BytesMut,
    /// The newest lease that the guard has not been told; an older one is of no use to it.
    lease: Option<Time>,
    told: Option<Time>,
    /// The pipes to the payload.
    pub(crate) framed: Framed,
    /// How far the payload has come.
    pub(crate) payload: Payload,
    /// The core wants the instance gone.
    pub(crate) ending: bool,
    /// A guard that has not done by then what it was told is killed.
    pub(crate) patience: Option<Time>,
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
    /// Starts a guard. `environment` is for the payload.
    pub(crate) fn start(exec: &Exec, environment: &[(&str, &str)]) -> io::Result<Self> {
        let (control, guards) = StdStream::pair()?;
        control.set_nonblocking(true)?;
        let (framed, stdin, stdout) = Framed::new()?;
        let (stdin, stdout) = (OwnedFd::from(stdin), OwnedFd::from(stdout));
        let mut command: Command = exec.guard_command(guards.into(), stdin, stdout);
        command.envs(environment.iter().copied());
        // Dropped after it: only the guard may hold its ends of the pipes.
        let guard = tokio::process::Command::from(command).spawn()?;
        Ok(Self {
            guard: Some(guard),
            control: UnixStream::from_std(control)?,
            silent: false,
            received: Vec::new(),
            orders: BytesMut::new(),
            lease: None,
            told: None,
            framed,
            payload: Payload::None,
            ending: false,
            patience: None,
        })
    }

    /// The guard's process.
    pub(crate) fn guard_pid(&self) -> Option<u32> {
        self.guard.as_ref().and_then(Child::id)
    }

    /// Whether the guard is there.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }

    /// Tells the guard how long the lease lasts. A lease that has gone is not told: whoever gives
    /// it back has ended the payload before, and whoever loses it kills the instance.
    pub(crate) fn tell_lease(&mut self, until: Option<Time>) {
        if until.is_some() && until != self.told {
            self.told = until;
            self.lease = until;
            self.flush();
        }
    }

    /// Gives an order, behind the newest lease.
    pub(crate) fn order(&mut self, order: Order) {
        if let Some(until) = self.lease.take() {
            self.orders.extend_from_slice(&Order::LeaseUntil(until).encode());
        }
        self.orders.extend_from_slice(&order.encode());
        self.flush();
    }

    /// Writes what the control socket takes; ticks to a guard that does not read are not piled up.
    fn flush(&mut self) {
        loop {
            if self.orders.is_empty() {
                let Some(until) = self.lease.take() else { return };
                self.orders.extend_from_slice(&Order::LeaseUntil(until).encode());
            }
            match self.control.try_write(&self.orders) {
                Ok(n) => self.orders.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The guard has gone, which its exit tells.
                Err(_) => return self.orders.clear(),
            }
        }
    }

    /// Waits for what happens next. Cancel-safe.
    pub(crate) async fn event(&mut self, read_payload: bool) -> InstanceEvent {
        let Self { guard, control, silent, orders, framed, .. } = self;
        let news = async {
            if *silent {
                return pending().await;
            }
            let interest = match orders.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let _ = control.ready(interest).await;
        };
        let Some(guard) = guard else { return pending().await };
        tokio::select! {
            // What the guard says is read before its end is noticed.
            biased;
            () = news => InstanceEvent::Control,
            ended = guard.wait() => InstanceEvent::GuardEnded(ended),
            () = framed.ready(read_payload) => InstanceEvent::Payload,
        }
    }

    /// What the guard says. `None`: nothing more at present. The end of the socket is no news; the
    /// guard's own end is.
    pub(crate) fn news(&mut self) -> Option<News> {
        self.flush();
        let mut chunk = [0; 64];
        loop {
            if let Some(bytes) = message::take(&mut self.received) {
                return News::decode(bytes);
            }
            match self.control.try_read(&mut chunk) {
                Ok(n) if n > 0 => self.received.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                _ => {
                    self.silent = true;
                    return None;
                }
            }
        }
    }

    /// The guard has ended.
    pub(crate) fn guard_ended(&mut self) {
        self.guard = None;
    }

    /// Kills a guard that does not end. The payload dies with it by its death signal.
    pub(crate) fn kill_guard(&mut self) {
        if let Some(guard) = &mut self.guard {
            let _ = guard.start_kill();
        }
    }
}
