//! Who is let in: how many connections from each address, and why others were not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The connections of the whole daemon, by address.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    /// Only addresses with connections are in it, so it is as bounded as they are.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    counters: Counters,
}

/// What became of connections that never reached a line.
#[derive(Debug, Default)]
struct Counters {
    silent: AtomicU64,
    crowded: AtomicU64,
    forbidden: AtomicU64,
    crowding: AtomicU64,
    no_line: AtomicU64,
}

/// Why a connection never reached a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It said nothing, or too little, in time.
    Silent,
    /// It gave way to a newer one because too many were silent.
    Crowded,
    /// Its address is not on the listener's list.
    Forbidden,
    /// There are too many from its address.
    Crowding,
    /// The line is being started, stopped, or has just gone.
    NoLine,
}

/// Connections that never reached a line, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusalReport {
    /// They said nothing in time.
    pub silent: u64,
    /// Too many said nothing; the oldest went.
    pub crowded: u64,
    /// Their address is not on the listener's list.
    pub forbidden: u64,
    /// Too many from one address.
    pub crowding: u64,
    /// Their line was being started or stopped.
    pub no_line: u64,
}

/// The right of one connection to be here; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// `most`: connections from one address.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, addresses: Mutex::default(), counters: Counters::default() }
    }

    /// Lets a connection in, if there are not too many from its address.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Permit { gate: self.clone(), address })
    }

    pub(crate) fn count(&self, refusal: Refusal) {
        let counters = &self.counters;
        let counter = match refusal {
            Refusal::Silent => &counters.silent,
            Refusal::Crowded => &counters.crowded,
            Refusal::Forbidden => &counters.forbidden,
            Refusal::Crowding => &counters.crowding,
            Refusal::NoLine => &counters.no_line,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn report(&self) -> RefusalReport {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RefusalReport {
            silent: count(&self.counters.silent),
            crowded: count(&self.counters.crowded),
            forbidden: count(&self.counters.forbidden),
            crowding: count(&self.counters.crowding),
            no_line: count(&self.counters.no_line),
        }
    }
}

impl RefusalReport {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.silent + self.crowded + self.forbidden + self.crowding + self.no_line
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut addresses = self.gate.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound_and_leaving_makes_room() {
        let gate = Arc::new(Gate::new(2));
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "::1".parse().unwrap());
        let first = gate.admit(a).unwrap();
        let _second = gate.admit(a).unwrap();
        assert!(gate.admit(a).is_none());
        assert!(gate.admit(b).is_some());
        drop(first);
        assert!(gate.admit(a).is_some());
        assert_eq!(gate.addresses.lock().unwrap().len(), 1, "who has left is forgotten");
    }
}
