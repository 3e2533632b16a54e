//! The gateway's end of a dialect: what the coordinator runs between the line and a store.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use crate::charge::Charge;
use crate::civil::WallClock;
use crate::ledger::Ledger;

/// A dialect's gateway as a value.
///
/// The calling contract:
///
/// 1. Say what happened with one `handle_*`. `now` is the time since boot and never goes back.
/// 2. Drain `poll_write` and make all of it durable in one transaction; if that fails, drop the
///    value, and send nothing more.
/// 3. Only then drain `poll_output` and hand everything to the terminal server, in this order. An
///    output that acknowledges therefore never leaves before what it acknowledges is durable.
/// 4. Drain `poll_event`; ask `wants_charge`, and give it one if there is one.
/// 5. Ask `poll_timeout` for the one next deadline.
///
/// **A takeover is a continuation.** Each output's note is the whole state after it. Acknowledgement
/// and note take effect with the output's last byte, so whoever reads the note knows exactly what
/// has been on the line and which input has been dealt with; a value made by a dialect's
/// `new(settings, resume, now)` from it goes on where the last one stood. Only what the note can't
/// know (whether an answer got through) is asked again, by the dialect's own means.
pub trait Gateway {
    /// Input from the line. `offset` names its first byte and always follows on, except after
    /// [`LineNews::Gap`].
    fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration);

    /// Something that happened on the line, in its place between the bytes.
    fn handle_line(&mut self, news: LineNews, now: Duration);

    /// So many outputs with bytes, counted since this value was made, have been handed to the port
    /// to their last byte. Timers for an answer start then, not before: a line that is held back
    /// keeps nobody from answering.
    fn handle_written(&mut self, outputs: u64, now: Duration);

    /// The next thing to post; call it only while `wants_charge`.
    fn handle_charge(&mut self, posting: Posting, now: Duration);

    /// A handler's reply to the command with this number (`cable`). One that nobody waits for is
    /// ignored.
    fn handle_reply(&mut self, number: u64, reply: Reply, now: Duration);

    /// What the store knows of the record that went out last. To be said after a beginning, and again
    /// while [`needs_last`](Self::needs_last). Only a dialect whose far end refuses no number that it
    /// knows asks for it (`hx`).
    fn handle_last(&mut self, _last: &LastSent, _now: Duration) {}

    /// Takes notice that the time is `now`; does what fell due. Early calls are harmless.
    fn handle_timeout(&mut self, now: Duration);

    /// The clock on the wall, at the start and whenever it may have been set.
    fn set_wall_clock(&mut self, wall: WallClock);

    /// The next thing to make durable.
    fn poll_write(&mut self) -> Option<Write>;

    /// The next thing for the terminal server.
    fn poll_output(&mut self) -> Option<Output>;

    /// The next thing to log and count.
    fn poll_event(&mut self) -> Option<Notice>;

    /// When `handle_timeout` is wanted, as time since boot.
    fn poll_timeout(&self) -> Option<Duration>;

    /// Whether the link is up and nothing posted is outstanding.
    fn wants_charge(&self) -> bool;

    /// Charges are held back until somebody who is sure says which record went out last.
    fn needs_last(&self) -> bool {
        false
    }

    /// What is known about numbers: what the note carries beside the link's state. `None` for a
    /// dialect that posts nothing.
    fn ledger(&self) -> Option<&Ledger>;

    /// The number of the command that a reply is awaited for (`cable`).
    fn awaits_reply(&self) -> Option<u64>;
}

/// Where a gateway begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Offset of the first input to come. What lies before it has been dealt with.
    pub acked: u64,
    /// What the last gateway of the same dialect and input stream left. `None`: nobody did, or it
    /// was lost; the link's state is unknown then, and the peer is asked by the dialect's way to
    /// begin. A note that can't be read counts as none, with a [`Notice::NoteRefused`].
    pub note: Option<Bytes>,
    /// The predecessor's last output was cut in the middle, by policy or by a device that went.
    pub cut: bool,
    /// Highest number that the store knows; only used without a note.
    pub last_number: u64,
    /// The clock on the wall.
    pub wall: WallClock,
}

/// What a store knows of the record that went out last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSent {
    /// Its text, or as much of it as says its number; empty: none ever did. Nobody can have sent one
    /// since.
    Known(Bytes),
    /// None that this store knows of.
    Unused,
    /// The line was used, and others may have sent one since.
    Unknown,
}

/// Input of a frame or a line that does not end is given up and acknowledged so long after its first
/// byte: whoever leaves input unacknowledged for 30 s is taken to be stuck.
pub(crate) const SETTLE_WITHIN: Duration = Duration::from_secs(25);

/// Something that happened on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineNews {
    /// Input before `offset` that has not been handed over never will be. Without offsets it may
    /// be missing too: a device that was away makes a gap at the offset of the next byte.
    Gap { offset: u64 },
    /// A break, a parity or framing error, or an overrun: the record that is being received is
    /// damaged. Nothing is missing from the offsets.
    Damage,
    /// The device or the cable is gone.
    Down,
    /// It is back. What the line said meanwhile may be missing, without a gap.
    Up,
}

/// A charge to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posting {
    /// It has no number yet. `id` is the store's name for it.
    New { id: u64, charge: Charge },
    /// It was numbered before and not settled: the same number, the same text.
    Numbered { number: u64, key: String, text: Bytes },
}

/// A handler's reply to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Ok,
    /// It was not; two characters say why.
    Error([u8; 2]),
}

/// Something for the store. Everything polled between two drains of `poll_output` belongs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A record came from the line: the input from `start` to before `end` held it.
    Receive(Record),
    /// The charge `id` has this number and this text, for ever.
    Number { id: u64, number: u64, text: Bytes },
    /// A charge that a predecessor numbered and did not settle, from its note. The store may know
    /// it already.
    Adopt { number: u64, key: String, text: Bytes },
    /// The charge with this number is done with.
    Settle { number: u64, outcome: Outcome, answer: Bytes },
}

/// A record from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its last byte, check and all.
    pub end: u64,
    /// What it is, by the dialect's own word: `GI`, `call`, `AU`.
    pub kind: String,
    /// Its number, if it has one.
    pub number: Option<u64>,
    /// Its text, without framing.
    pub text: Bytes,
    /// Whether a handler has to do something about it.
    pub handled_by: HandledBy,
}

/// Who has to do something about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandledBy {
    /// A handler sees it.
    Handler,
    /// Nobody: it is kept for the books (a page header, a torn line).
    Nobody,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The billing system has it.
    Posted,
    /// The billing system will not have it, and says so for good.
    Refused,
}

/// Something for the terminal server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// One frame for the line, at most 2 KiB; empty: only acknowledge.
    pub bytes: Bytes,
    /// All input before this offset has been dealt with. Never lower than in an output before.
    pub ack: u64,
    /// The state after this output, if it has changed since the output before.
    pub note: Option<Bytes>,
}

/// Something to log and count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The peer is there.
    LinkUp,
    /// The peer is not there, or said that it goes.
    LinkDown { why: &'static str },
    /// A charge begins to go out for the first time (`attempt` 1) or again.
    Sending { number: u64, attempt: u32 },
    /// A charge is done with.
    Settled { number: u64, outcome: Outcome },
    /// The link's rules say to give a transmission up; a charge is sent again later, with the same
    /// number.
    GaveUp { number: Option<u64> },
    /// A record whose check is wrong.
    BadCheck { start: u64, end: u64 },
    /// Bytes that make no record: noise, a torn head, a tail without a head.
    Partial { start: u64, end: u64 },
    /// A record that came before and was answered again without doing it again.
    Repeated { number: Option<u64> },
    /// The answer was not the one that was waited for.
    Unexpected { what: &'static str },
    /// The predecessor's note could not be read.
    NoteRefused,
    /// Nobody knows which number was the last on the line: charges wait until a person says it.
    NumbersUnknown,
    /// Records that ought to have come between the last and this one (`cdr` with numbers).
    Missing { from: u64, count: u64 },
}
