//! All listeners of the daemon: which there are, which line is behind which.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::Name;

use super::gate::Gate;
use super::listener::{Arrival, Listener, Route, bind, listen, open};
use super::network::Network;
use super::options::{Limits, LineOptions, ListenOptions, Speech};

/// What makes a listener the same one before and after a change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    speech: Speech,
    address: SocketAddr,
    /// Only the line protocol lets several lines share one.
    line: Option<Name>,
}

/// The listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    gate: Arc<Gate>,
    limits: Limits,
    /// Each with its socket until it runs, and with its task from then on.
    all: BTreeMap<Place, Entry>,
}

#[derive(Debug)]
struct Entry {
    listener: Arc<Listener>,
    taken: Option<TcpSocket>,
    socket: Option<TcpListener>,
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Place {
    fn of(line: &LineOptions, listen: &ListenOptions) -> Self {
        let line = Some(line.line.clone()).filter(|_| listen.speech != Speech::Line);
        Self { speech: listen.speech, address: listen.address, line }
    }
}

impl Listeners {
    /// Takes the addresses of all `lines`. What cannot be had is tried for later.
    ///
    /// # Errors
    /// None of them can be had.
    pub(crate) fn bind(
        lines: &[LineOptions],
        gate: &Arc<Gate>,
        limits: Limits,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut listeners = Self { gate: gate.clone(), limits, all: BTreeMap::new() };
        let (mut first, mut any) = (None, false);
        for (place, allow) in wanted(lines) {
            let address = place.address;
            let entry = listeners.add(place, allow);
            match bind(address) {
                Ok(socket) => {
                    entry.taken = Some(socket);
                    any = true;
                }
                Err(error) => {
                    let (kind, text) = (error.kind(), error.to_string());
                    entry.failed(address, error);
                    first.get_or_insert_with(|| (address, io::Error::new(kind, text)));
                }
            }
        }
        first.filter(|_| !any).map_or(Ok(listeners), Err)
    }

    /// Lets clients connect to what was taken.
    ///
    /// # Errors
    /// They cannot anywhere.
    pub(crate) fn listen(&mut self) -> Result<(), (SocketAddr, io::Error)> {
        let (mut first, mut any) = (None, self.all.is_empty());
        for (place, entry) in &mut self.all {
            let Some(taken) = entry.taken.take() else { continue };
            match open(taken) {
                Ok(socket) => {
                    entry.opened(socket);
                    any = true;
                }
                Err(error) => {
                    let (kind, text) = (error.kind(), error.to_string());
                    entry.failed(place.address, error);
                    first.get_or_insert_with(|| (place.address, io::Error::new(kind, text)));
                }
            }
        }
        first.filter(|_| !any).map_or(Ok(()), Err)
    }

    /// Where the first one listens.
    pub(crate) fn first(&self) -> Option<SocketAddr> {
        self.all.values().find_map(|entry| entry.listener.bound())
    }

    /// Every listener.
    pub(crate) fn all(&self) -> Vec<Arc<Listener>> {
        self.all.values().map(|entry| entry.listener.clone()).collect()
    }

    /// Begins to accept, or to try for the address, where that has not begun.
    pub(crate) fn run(&mut self, shutdown: &CancellationToken) {
        for entry in self.all.values_mut().filter(|entry| entry.task.is_none()) {
            entry.stop = shutdown.child_token();
            let run = entry.listener.clone().run(entry.socket.take(), entry.stop.clone());
            entry.task = Some(tokio::spawn(run));
        }
    }

    /// These are all lines from now on: what is not wanted any more ends, what is new is opened,
    /// and what remains has its list of addresses replaced. New ones do not run yet.
    pub(crate) async fn change(&mut self, lines: &[LineOptions]) {
        let wanted = wanted(lines);
        let gone: Vec<_> =
            self.all.keys().filter(|place| !wanted.contains_key(place)).cloned().collect();
        for place in gone {
            if let Some(entry) = self.all.remove(&place) {
                entry.end().await;
            }
        }
        for (place, allow) in wanted {
            if let Some(entry) = self.all.get(&place) {
                entry.listener.allow(allow);
                continue;
            }
            let address = place.address;
            let entry = self.add(place, allow);
            match listen(address) {
                Ok(socket) => entry.opened(socket),
                Err(error) => entry.failed(address, error),
            }
        }
    }

    /// The line can be reached.
    pub(crate) fn join(&self, line: &LineOptions, arrive: &mpsc::Sender<Arrival>) {
        let route = Route {
            arrive: arrive.clone(),
            keepalive: line.policies.keepalive,
            user_timeout: line.policies.user_timeout,
        };
        for listen in &line.listeners {
            if let Some(entry) = self.all.get(&Place::of(line, listen)) {
                entry.listener.route(line.line.clone(), route.clone());
            }
        }
    }

    /// The line cannot be reached any more.
    pub(crate) fn leave(&self, line: &Name) {
        self.all.values().for_each(|entry| entry.listener.unroute(line));
    }

    /// Nobody is let in any more.
    pub(crate) async fn end(self) {
        for entry in self.all.into_values() {
            entry.end().await;
        }
    }

    fn add(&mut self, place: Place, allow: Vec<Network>) -> &mut Entry {
        let at = (place.speech, place.address);
        let listener = Arc::new(Listener::new(at, self.gate.clone(), self.limits));
        listener.allow(allow);
        let stop = CancellationToken::new();
        let entry = Entry { listener, taken: None, socket: None, task: None, stop };
        self.all.entry(place).or_insert(entry)
    }
}

impl Entry {
    fn opened(&mut self, socket: TcpListener) {
        let bound = Ok(socket);
        self.listener.set_bound(&bound);
        self.socket = bound.ok();
    }

    fn failed(&self, address: SocketAddr, error: io::Error) {
        tracing::warn!(%address, %error, "failed to listen; it is tried again and again");
        self.listener.set_bound(&Err(error));
    }

    async fn end(self) {
        self.stop.cancel();
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}

/// The listeners that `lines` ask for, and who may connect. Where lines share one, the checked
/// configuration says the same of it in all of them.
fn wanted(lines: &[LineOptions]) -> BTreeMap<Place, Vec<Network>> {
    let each = |line: &LineOptions| -> Vec<_> {
        let listeners = line.listeners.iter();
        listeners.map(|listen| (Place::of(line, listen), listen.allow.clone())).collect()
    };
    lines.iter().flat_map(each).collect()
}
