//! Switches by which the tests prove that each guard is needed.
//!
//! A guard is asked as `guard::on(Guard::X)` where it stands. In every ordinary build the answer
//! is the constant `true`. Only under `--cfg linekeeper_mutate` can the simulated world switch one
//! off for its own thread and must then see the broken invariant. It is a `cfg`, never a cargo
//! feature: feature unification would ship it.

/// A guard that can be switched off, named after what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// I1: only the holder's output is taken.
    HolderOnly,
    /// I2: a started frame is finished before anything of the next epoch.
    WholeFrames,
    /// I3: input is forgotten only when the holder acknowledged it.
    ForgetOnlyAcked,
    /// I4: the node writes only under an unexpired lease.
    WriteUnderLease,
    /// A new boot id is believed only after it echoed the receiver's challenge.
    EchoBeforeBelief,
    /// A lease is judged expired only when a read of the holder's socket would block.
    ExpiryAfterRead,
}

impl Guard {
    /// All of them, for tests that try each.
    pub const ALL: [Self; 6] = [
        Self::HolderOnly,
        Self::WholeFrames,
        Self::ForgetOnlyAcked,
        Self::WriteUnderLease,
        Self::EchoBeforeBelief,
        Self::ExpiryAfterRead,
    ];
}

#[cfg(linekeeper_mutate)]
thread_local! {
    static OFF: std::cell::Cell<Option<Guard>> = const { std::cell::Cell::new(None) };
}

/// Whether `guard` stands. Always, but in a mutation build.
#[cfg(not(linekeeper_mutate))]
#[inline(always)]
pub const fn on(_guard: Guard) -> bool {
    true
}

/// Whether `guard` stands on this thread.
#[cfg(linekeeper_mutate)]
pub fn on(guard: Guard) -> bool {
    OFF.get() != Some(guard)
}

/// Switches one guard off on this thread, or all on again with `None`.
#[cfg(linekeeper_mutate)]
pub fn switch_off(guard: Option<Guard>) {
    OFF.set(guard);
}
