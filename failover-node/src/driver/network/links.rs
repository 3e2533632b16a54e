//! Opening paths, and again when interfaces come, go or change.
//!
//! Joining and leaving a group waits for a lock that the whole host's network shares, so it is done
//! on the runtime's pool, and the loop goes on meanwhile.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sys::{Interface, LinkWatch, interfaces};
use tokio::task::JoinHandle;
use wire::Time;

use super::path::{Path, Plan, Socket, trouble};

/// Looks after the links.
#[derive(Debug)]
pub(super) struct Links {
    /// Without it the slow look has to do.
    watch: Option<LinkWatch>,
    /// Something may have changed since the last look began.
    changed: bool,
    look: Option<JoinHandle<Looked>>,
    done: Option<Looked>,
    next: Time,
}

/// One look at the host's interfaces, after what was to be opened was opened.
#[derive(Debug)]
pub(super) struct Looked {
    interfaces: io::Result<Vec<Interface>>,
    opened: Vec<(usize, io::Result<Opened>)>,
}

/// A socket, and its interface as it was then.
type Opened = (Socket, Option<Interface>);

/// A path to be opened: its number, its plan, and its old socket, which is closed before.
type ToOpen = (usize, Plan, Option<Socket>);

impl Links {
    pub(super) fn new() -> Self {
        let watch = LinkWatch::new();
        if let Err(error) = &watch {
            tracing::warn!(%error, "changes of interfaces are not told; looking every 5 s instead");
        }
        Self { watch: watch.ok(), changed: false, look: None, done: None, next: Time::ZERO }
    }

    /// Ready when [`Self::tend`] has something to do before [`Self::next`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(look) = &mut self.look
            && let Poll::Ready(looked) = Pin::new(look).poll(cx)
        {
            self.look = None;
            // A look that panicked or was cancelled has found nothing; there will be another.
            self.done = looked.ok();
            return Poll::Ready(());
        }
        match &self.watch {
            Some(watch) if watch.poll_changed(cx).is_ready() => {
                self.changed = true;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    /// When to look although nothing was told.
    pub(super) fn next(&self) -> Time {
        self.next
    }

    /// Takes in what a look has found, and begins another one if it is time.
    pub(super) fn tend(&mut self, paths: &mut [Path], now: Time) {
        if self.look.is_some() {
            self.next = now + SOON;
            return;
        }
        let mut open = Vec::new();
        match self.done.take() {
            Some(looked) => open = looked.into_paths(paths, now),
            None if !self.changed && now < self.next => return,
            None => self.changed = true,
        }
        for (number, path) in paths.iter_mut().enumerate() {
            if path.is_silent(now) {
                path.joined = now;
                open.push((number, path.plan.clone(), path.socket.take()));
            }
        }
        let closed = paths.iter().any(|path| path.socket.is_none() || path.trouble.is_some());
        self.next = now + if closed { SOON } else { LATER };
        if self.changed || !open.is_empty() {
            self.changed = false;
            let retried = paths.iter().enumerate().filter(|(n, path)| {
                path.socket.is_none() && open.iter().all(|(number, ..)| number != n)
            });
            let retried: Vec<_> = retried.map(|(n, path)| (n, path.plan.clone(), None)).collect();
            open.extend(retried);
            self.look = Some(tokio::task::spawn_blocking(move || look(open)));
        }
    }
}

/// Opens all for the first time.
///
/// # Errors
/// None could be opened.
pub(super) fn open_first(paths: &mut [Path], now: Time) -> io::Result<()> {
    let all = paths.iter().enumerate().map(|(n, path)| (n, path.plan.clone(), None));
    let looked = look(all.collect());
    let error = looked.opened.iter().find_map(|(number, opened)| {
        let error = opened.as_ref().err()?;
        Some(io::Error::new(error.kind(), format!("{}: {error}", paths[*number].name)))
    });
    looked.into_paths(paths, now);
    match error {
        Some(error) if paths.iter().all(|path| path.socket.is_none()) => Err(error),
        _ => Ok(()),
    }
}

/// May block. Needs a runtime for the sockets.
fn look(open: Vec<ToOpen>) -> Looked {
    let all = interfaces();
    let opened = open.into_iter().map(|(number, plan, old)| {
        // First out, then in again: that is what tells a switch of the membership.
        drop(old);
        let opened = all.as_deref().map_err(copy).and_then(|all| {
            let interface = plan.find(all)?;
            Ok((plan.open(interface.as_ref())?, interface))
        });
        (number, opened)
    });
    let opened = opened.collect();
    Looked { interfaces: all, opened }
}

impl Looked {
    /// Says what has changed for each path. Gives those that must be opened anew.
    fn into_paths(self, paths: &mut [Path], now: Time) -> Vec<ToOpen> {
        for (number, opened) in self.opened {
            let Some(path) = paths.get_mut(number) else { continue };
            path.joined = now;
            match opened {
                Ok((socket, interface)) => {
                    let trouble = interface.as_ref().and_then(trouble);
                    (path.socket, path.interface) = (Some(socket), interface);
                    path.is_in(trouble, now);
                }
                Err(error) => path.is_in(Some(error.to_string()), now),
            }
        }
        let Ok(interfaces) = self.interfaces else { return Vec::new() };
        let mut outdated = Vec::new();
        for (number, path) in paths.iter_mut().enumerate().filter(|(_, p)| p.socket.is_some()) {
            let interface = path.plan.find(&interfaces);
            if interface.is_err() || interface.is_ok_and(|now| path.is_outdated(now.as_ref())) {
                outdated.push((number, path.plan.clone(), path.socket.take()));
            }
        }
        outdated
    }
}

impl Path {
    /// Has this trouble from now on, or none; said when that is news.
    fn is_in(&mut self, trouble: Option<String>, now: Time) {
        let path = self.name.as_str();
        match (&self.trouble, &trouble) {
            (None, Some(why)) => tracing::warn!(path, why, "network-lost"),
            (Some(_), None) => tracing::info!(path, "network-back"),
            _ => {}
        }
        if trouble.is_some() {
            self.open = None;
        } else {
            self.open.get_or_insert(now);
        }
        self.trouble = trouble;
    }

    /// Others were heard by this group and are not any more, so it costs nothing to join anew: a
    /// switch may have forgotten the membership.
    fn is_silent(&self, now: Time) -> bool {
        let quiet = self.heard.is_some_and(|at| now.since(at) >= QUIET);
        !self.plan.is_unicast()
            && self.socket.is_some()
            && quiet
            && now.since(self.joined) >= REJOIN_EVERY
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// While something is missing.
const SOON: Duration = Duration::from_secs(1);
/// A net below the watch, whose messages the system may drop.
const LATER: Duration = Duration::from_secs(5);
/// A path by which nobody was heard for so long is silent.
const QUIET: Duration = Duration::from_secs(10);
/// A silent one is joined anew so often; switches forget memberships after minutes.
const REJOIN_EVERY: Duration = Duration::from_secs(60);
