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
    /// A claim is granted only when a read of its socket would block: the dead are granted nothing.
    GrantAfterRead,
    /// I3: a plain ACK waits for the OUTPUT before it.
    AckAfterOutput,
    /// I3: an ACK takes effect with the last byte of its OUTPUT, never before.
    AckWithOutput,
    /// I3: the ACK of a frame that is being finished counts for the next holder.
    PromisedAck,
    /// A line that is kept for a named node is granted to no other.
    Reservation,
    /// I5: a claim that has seen a higher epoch raises the start number first.
    RaisedStart,
    /// I4: the lease counts from when the renewal that was answered was sent.
    LeaseFromAnswered,
    /// I4: the node counts its lease shorter than the terminal server does.
    ShorterLease,
    /// A grant is believed only with its MAC: a false server makes nobody coordinator.
    GrantSigned,
    /// A refusal is evidence about the line only with its MAC.
    RefusalSigned,
    /// A heartbeat of a known boot is believed only if its sequence grew.
    SequenceGrows,
    /// A challenge is used once: no recorded heartbeat of an earlier boot gets in again.
    ChallengeOnce,
    /// A second process under a living member's name is not believed.
    NoRival,
    /// Beacons are ordered by start number and sequence.
    BeaconOrder,
    /// Statuses of the line are ordered by what they say, not by when they came.
    EvidenceOrder,
    /// After a restart of the terminal server the incumbent goes first.
    IncumbentFirst,
    /// I7: the payload ends before the line is given back.
    PayloadFirst,
    /// I7: the guard ends the payload when its lease was not renewed.
    GuardDeadline,
    /// The other lines of a group end with its first.
    LockFirst,
    /// A coordinator in difficulty resigns only if somebody else could do better.
    NeverNobody,
    /// Observers, barred members and members in maintenance do not claim.
    EligibleOnly,
}

impl Guard {
    /// All of them, for tests that try each.
    pub const ALL: [Self; 27] = [
        Self::HolderOnly,
        Self::WholeFrames,
        Self::ForgetOnlyAcked,
        Self::WriteUnderLease,
        Self::EchoBeforeBelief,
        Self::ExpiryAfterRead,
        Self::GrantAfterRead,
        Self::AckAfterOutput,
        Self::AckWithOutput,
        Self::PromisedAck,
        Self::Reservation,
        Self::RaisedStart,
        Self::LeaseFromAnswered,
        Self::ShorterLease,
        Self::GrantSigned,
        Self::RefusalSigned,
        Self::SequenceGrows,
        Self::ChallengeOnce,
        Self::NoRival,
        Self::BeaconOrder,
        Self::EvidenceOrder,
        Self::IncumbentFirst,
        Self::PayloadFirst,
        Self::GuardDeadline,
        Self::LockFirst,
        Self::NeverNobody,
        Self::EligibleOnly,
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
