//! The node's side of a guard: its process, and the socket between the two.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{ExitStatus, Stdio};

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::Child;
use wire::Time;

use super::exec::Exec;
use super::message::{self, News, Order};

/// A guard, and what it was told.
#[derive(Debug)]
pub(crate) struct Guarded {
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
}

impl Guarded {
    /// Starts a guard. `environment` and `streams` (input, output, errors) are for the payload.
    pub(crate) fn start(
        exec: &Exec,
        environment: &[(&str, &str)],
        streams: [Stdio; 3],
    ) -> io::Result<Self> {
        let (control, guards) = StdStream::pair()?;
        control.set_nonblocking(true)?;
        let mut command = exec.guard_command(guards.into(), streams)?;
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
        })
    }

    /// The guard's process, while it is there.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.guard.as_ref().and_then(Child::id)
    }

    /// Whether the guard is there.
    pub(crate) fn is_there(&self) -> bool {
        self.guard.is_some()
    }

    /// Tells the guard how long the lease lasts.
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

    /// Waits until the guard may have said something or listens again (`None`), or has ended.
    /// Cancel-safe.
    pub(crate) async fn event(&mut self) -> Option<io::Result<ExitStatus>> {
        let Self { guard, control, silent, orders, .. } = self;
        let Some(guard) = guard else { return pending().await };
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
        tokio::select! {
            // What the guard says is read before its end is noticed.
            biased;
            () = news => None,
            ended = guard.wait() => Some(ended),
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
    pub(crate) fn ended(&mut self) {
        self.guard = None;
    }

    /// Kills a guard that does not end. The payload dies with it by its death signal.
    pub(crate) fn kill(&mut self) {
        if let Some(guard) = &mut self.guard {
            let _ = guard.start_kill();
        }
    }
}
