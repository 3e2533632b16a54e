//! The billing system's end of a dialect: what `billing-sim` runs at the far end of the cable.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use crate::civil::WallClock;

/// A dialect's billing system as a value: it speaks, answers, keeps what was posted, and can be
/// told to misbehave. It sees what a billing system sees: bytes and time, no takeover.
///
/// The calling contract is that of [`LinkEngine`](crate::LinkEngine): after each `handle_*`, `send`
/// or `misbehave`, drain `poll_transmit` and `poll_event`, then ask `poll_timeout`. Whoever drives
/// it paces the bytes and tells `handle_written` when they have left; timers for an answer start
/// then.
pub trait BillingEnd: Send {
    /// Bytes from the line, in any chunks.
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration);

    /// The port broke off: a break, a framing error, or it was closed and opened again. What was
    /// being received is damaged.
    fn handle_damage(&mut self, now: Duration);

    /// So many transmissions, counted since the start, have left to their last byte.
    fn handle_written(&mut self, transmits: u64, now: Duration);

    /// Takes notice that the time is `now`; does what fell due.
    fn handle_timeout(&mut self, now: Duration);

    /// Queues item number `serial` of the load (1, 2, 3 …), a pure function of the seed in the
    /// settings and of the serial: [`SimEvent::Queued`] tells its text at once.
    fn send(&mut self, serial: u64, now: Duration);

    /// Items queued and not settled.
    fn backlog(&self) -> usize;

    /// Whether one more item would wait for its turn, and none be lost for it.
    fn has_room(&self) -> bool;

    /// Takes back the items that have not begun to go out.
    fn withdraw(&mut self);

    /// Misbehave, once or from now on.
    fn misbehave(&mut self, misdeed: Misdeed, now: Duration);

    /// The clock on the wall.
    fn set_wall_clock(&mut self, wall: WallClock);

    /// The next frame for the line, whole.
    fn poll_transmit(&mut self) -> Option<Bytes>;

    /// The next thing to judge.
    fn poll_event(&mut self) -> Option<SimEvent>;

    /// When `handle_timeout` is wanted, as time since boot.
    fn poll_timeout(&self) -> Option<Duration>;

    /// Whether the link is up. `None`: the dialect can't tell.
    fn is_link_up(&self) -> Option<bool>;

    /// Whether it may have sent a record with this text that is no item of the load: one that keeps
    /// the link, a title. What a gateway has taken and is neither, nobody has sent.
    fn is_own(&self, text: &[u8]) -> bool;
}

/// What a billing system sees and does, for the judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimEvent {
    /// Item `serial` of the load was queued; `text` is the record without framing.
    Queued { serial: u64, text: Bytes },
    /// Item `serial` went out, for the `attempt`th time.
    Sent { serial: u64, attempt: u32 },
    /// The gateway has confirmed item `serial` (or it has left, where nothing confirms).
    Confirmed { serial: u64 },
    /// The gateway's answer to command `serial` (`cable`), without framing.
    Answered { serial: u64, text: Bytes },
    /// Item `serial` was given up after the last attempt: lost by its sender, as the rules say.
    GaveUp { serial: u64 },
    /// Item `serial` never was sent: the buffer was full (`cdr`).
    Overwritten { serial: u64 },
    /// A charge came and was posted. `content` is its text without the number: equal contents are
    /// equal charges.
    Posted { number: u64, content: Bytes, text: Bytes },
    /// A charge came again, with the number and content of one that was posted; it was answered
    /// and not posted again.
    Repeated { number: u64 },
    /// A charge came with the number of another one; `text` was not posted.
    Conflict { number: u64, text: Bytes },
    /// A charge was answered with "not now" or "never", as the scenario says.
    Declined { number: u64, answer: Bytes },
    /// The number does not follow the last one: `count` are left out.
    Gap { after: u64, count: u64 },
    /// So many numbers after this one are left out, and records before it were refused as often as
    /// a sender tries: it has given them up.
    Abandoned { after: u64, count: u64 },
    /// The number is lower than the last one, and was never seen.
    Reordered { number: u64, after: u64 },
    /// A record whose check is wrong; its bytes, framing and all.
    BadCheck { bytes: Bytes },
    /// A record began inside another one: bytes of two senders, or a torn head.
    Interleave { bytes: Bytes },
    /// Bytes that make no record.
    Partial { bytes: Bytes },
    /// The last answer was asked for again while it belonged to an earlier record: taken for an
    /// answer to a newer one, it would lose that (`fias`).
    AnswerReplayed,
    /// An answer came that nothing waits for any more.
    LateAnswer { bytes: Bytes },
    /// The link came up or went down.
    Link { up: bool },
}

/// What a billing system can be told to do wrong. Those with a count do it to the next so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misdeed {
    /// Give no answer on the link to the next `count` good records.
    DropAnswers { count: u32 },
    /// Answer the next `count` good records after so long.
    DelayAnswers { count: u32, by: Duration },
    /// Answer the next `count` good records with NAK.
    Nak { count: u32 },
    /// Send the next `count` records with a wrong check.
    CorruptCheck { count: u32 },
    /// Answer the next `count` requests to repeat an answer, or bids, only after so long.
    LateEnq { count: u32, by: Duration },
    /// End the link (`LE`, logoff), and start it again after so long.
    EndLink { pause: Duration },
    /// A night audit for so long: charges are declined for now.
    NightAudit { lasting: Duration },
    /// Decline the next `count` charges for now ("retry").
    Retry { count: u32 },
    /// Decline the next `count` charges for good.
    Refuse { count: u32 },
    /// Give no commit answer (`PA`) to the next `count` charges, though they are posted.
    DropCommits { count: u32 },
}

/// Records refused since the last charge that was taken: who looks at numbers that are left out
/// knows from it which of them their sender has given up.
#[derive(Debug, Default)]
pub(crate) struct Refusals(u64);

impl Refusals {
    /// A record was refused: by NAK, or for its check.
    pub(crate) fn refuse(&mut self) {
        self.0 += 1;
    }

    /// A charge was taken, before which so many numbers are missing. A sender tries each so often.
    pub(crate) fn explain(
        &mut self,
        after: u64,
        missing: u64,
        tries: u64,
    ) -> impl Iterator<Item = SimEvent> + use<> {
        let given_up = (std::mem::take(&mut self.0) / tries.max(1)).min(missing);
        let gap = missing - given_up;
        let abandoned = (given_up > 0).then_some(SimEvent::Abandoned { after, count: given_up });
        let gap = (gap > 0).then_some(SimEvent::Gap { after, count: gap });
        [abandoned, gap].into_iter().flatten()
    }
}
