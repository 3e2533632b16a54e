//! The frames of the line protocol, version 2; version 1 is without OBSERVE, OBSERVING, SETTINGS,
//! SIGNALS and BREAK.
//!
//! On the wire: length (u16, of what follows), type (u8), fields; all numbers big-endian. See
//! `docs/wire-format.md`. One connection serves one line; HELLO names it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cursor::{DecodeError, Reader, Write};
use crate::fields::some_bytes;
use crate::status::LineStatus;
use crate::{
    BootId, Epoch, Flow, Mac, Name, Nonce, Parity, SettingsChange, SignalChange, Signals, StopBits,
};

/// The oldest version of the line protocol that is still spoken.
pub const VERSION_MIN: u8 = 1;
/// The version of the line protocol that this code speaks.
pub const VERSION: u8 = 2;

/// Longest frame without its length field. Room for a record, a note and the fields around them.
pub const MAX_FRAME: usize = 8 * 1024;
/// Longest output frame's bytes: one record of any dialect the house knows.
pub const MAX_OUTPUT: usize = 2 * 1024;
/// Longest note a component may leave for its successor.
pub const MAX_NOTE: usize = 4 * 1024;
/// Most bytes in one INPUT frame.
pub const MAX_INPUT: usize = 4 * 1024;
/// Longest text in an ERROR frame.
pub const MAX_ERROR_TEXT: usize = 256;
/// Output a holder may have sent beyond the last [`Written::accepted`].
pub const OUTPUT_WINDOW: u64 = 8 * 1024;
/// Input the server may have sent beyond the last acknowledged offset.
pub const INPUT_WINDOW: u64 = 64 * 1024;

/// Longest break, in milliseconds.
pub const MAX_BREAK: u32 = 5_000;

/// First bytes of every HELLO, so that a stray client is told apart at once.
pub const MAGIC: [u8; 4] = *b"LKLN";

/// One message of the line protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Client's first frame.
    Hello(Hello),
    /// The server's answer to it.
    Welcome(Welcome),
    /// The client asks to own the line.
    Claim(Claim),
    /// The terminal server's yes.
    Grant(Grant),
    /// The terminal server's no.
    Refuse(Refuse),
    /// Bytes read from the line.
    Input(Input),
    /// The holder takes responsibility for all input before an offset.
    Ack(Ack),
    /// One record for the line.
    Output(Output),
    /// How far output has come.
    Written(Written),
    /// The holder is alive; `n` grows.
    Renew(u64),
    /// The lease was renewed by the RENEW of that number.
    Renewed(u64),
    /// Something happened on the line at an offset of its input.
    Event(LineEvent),
    /// The holder gives the line back, perhaps reserved for a named node.
    Release(Option<Name>),
    /// The grant has ended.
    Revoked(Revoked),
    /// The client asks to see the line's input without holding it.
    Observe(Observe),
    /// The terminal server's yes to that.
    Observing(Observing),
    /// From the holder: change these settings, after the output before it. From the server: the
    /// answer, all settings as they are in force. An empty change only asks.
    Settings(SettingsChange),
    /// From the holder: change these wires, after the output before it; an empty change only asks.
    SetSignals(SignalChange),
    /// From the server: the answer, and from the first one on every change.
    Signals(Signals),
    /// From the holder: send a break of so many milliseconds, after the output before it. From the
    /// server: it has been sent.
    Break(u32),
    /// The peer broke the protocol; the connection ends.
    Error(ErrorCode, String),
}

/// Asks to see the line's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observe {
    /// The group whose key makes the MAC.
    pub group: Name,
    /// Who observes.
    pub node: Name,
    /// Where to begin.
    pub from: ObserveFrom,
    /// Which of the group's keys.
    pub key_id: u8,
    /// Over both nonces and all of the above: [`crate::handshake`].
    pub mac: Mac,
}

/// Where an observer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObserveFrom {
    /// With what comes next.
    Live,
    /// With the oldest byte that is kept.
    Oldest,
    /// At an offset of the stream of that name; with the oldest kept byte if that is later, or the
    /// stream has another name.
    At {
        /// Name of the stream.
        incarnation: u64,
        /// Offset of the first byte wanted.
        offset: u64,
    },
}

/// The line's input follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observing {
    /// Name of the numbered input stream.
    pub incarnation: u64,
    /// Offset of the first byte that will be sent.
    pub offset: u64,
    /// Input before this offset has been read from the line.
    pub end: u64,
    /// Over the OBSERVE's MAC and all of the above: [`crate::handshake`].
    pub mac: Mac,
}

/// Names the line and offers versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version the client speaks.
    pub min: u8,
    /// Newest version the client speaks.
    pub max: u8,
    /// Drawn at random for this connection.
    pub nonce: Nonce,
    /// The line it is about.
    pub line: Name,
}

/// Chooses a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version from here on.
    pub version: u8,
    /// Drawn at random for this connection.
    pub nonce: Nonce,
    /// The terminal server's name.
    pub server: Name,
}

/// Asks to own the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The group whose key makes the MAC.
    pub group: Name,
    /// The claiming node.
    pub node: Name,
    /// The life of its process.
    pub boot: BootId,
    /// Highest epoch of this line that the node has seen.
    pub seen: Epoch,
    /// Lease wanted, in milliseconds.
    pub lease_ms: u32,
    /// Which of the group's keys.
    pub key_id: u8,
    /// Over both nonces and all of the above: [`crate::handshake`].
    pub mac: Mac,
}

/// The line is the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The fencing token of this grant.
    pub epoch: Epoch,
    /// Lease given, in milliseconds, from the CLAIM or the answered RENEW.
    pub lease_ms: u32,
    /// Name of the numbered input stream.
    pub incarnation: u64,
    /// Input before this offset has been taken; INPUT starts here.
    pub acked: u64,
    /// Input before this offset was handed to somebody already and is in doubt.
    pub delivered: u64,
    /// Input before this offset has been read from the line.
    pub end: u64,
    /// Position of the holder's first output byte.
    pub position: u64,
    /// What became of the last output frame that was started.
    pub last: LastFrame,
    /// What the last component left for its successor; at most [`MAX_NOTE`] bytes.
    pub note: Bytes,
    /// Over the CLAIM's MAC and all of the above: [`crate::handshake`].
    pub mac: Mac,
}

/// The last output frame that was started on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastFrame {
    /// Of whose grant.
    pub epoch: Epoch,
    /// Position after its last byte.
    pub end: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of an output frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// There was none since the terminal server's start.
    #[default]
    None,
    /// All of it was handed to the tty.
    Finished,
    /// It is being finished; the new holder's output follows it. Its ack counts already.
    Finishing,
    /// By policy it ended after so many of its bytes.
    Cut(u16),
}

/// The line is not the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse {
    /// The reason.
    pub why: RefuseWhy,
    /// When a claim may have better luck, in milliseconds from now.
    pub retry_ms: u32,
    /// The line as a beacon would show it.
    pub status: LineStatus,
    /// Over the CLAIM's MAC and all of the above; zero where no key could be agreed.
    pub mac: Mac,
}

/// Why a claim was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefuseWhy {
    /// Another client holds the line.
    Held,
    /// The line is kept for another node for a moment.
    Reserved,
    /// The line does not accept this group.
    Group,
    /// The MAC is wrong: another key, or a changed message.
    Mac,
    /// The terminal server is stopping.
    Stopping,
    /// The epoch could not be raised or stored.
    Storage,
}

/// Bytes read from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Offset of the first byte.
    pub offset: u64,
    /// 1 to [`MAX_INPUT`] bytes.
    pub bytes: Bytes,
}

/// Responsibility for input is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// All input before this offset.
    pub offset: u64,
    /// Replaces the note for the successor.
    pub note: Option<Bytes>,
}

/// One record for the line, never mixed with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Position of the first byte.
    pub position: u64,
    /// Takes effect with the last byte handed to the tty, and never apart from it.
    pub ack: Option<u64>,
    /// Likewise.
    pub note: Option<Bytes>,
    /// 1 to [`MAX_OUTPUT`] bytes.
    pub bytes: Bytes,
}

/// How far output has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// All output before this position was handed to the tty.
    pub accepted: u64,
    /// All output before this position has left the port, by the best knowledge there is.
    pub drained: u64,
}

/// Something that happened on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineEvent {
    /// Offset of the next input byte after it.
    pub offset: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// So many bytes just before the offset are lost; `u64::MAX` is an unknown number.
    Gap(u64),
    /// A break condition was received.
    Break,
    /// A byte with a parity error.
    Parity,
    /// A byte with a framing error.
    Framing,
    /// The UART or the driver lost input.
    Overrun,
    /// The device has gone.
    Down,
    /// The device is back.
    Up,
}

/// The grant has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Which grant.
    pub epoch: Epoch,
    /// The reason.
    pub why: RevokeWhy,
}

/// Why a grant ended without the holder's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeWhy {
    /// The lease ran out.
    Expired,
    /// The same process of the same node claimed again on another connection.
    Replaced,
    /// The terminal server is stopping.
    Stopping,
    /// The holder broke the protocol.
    Misuse,
}

/// How the peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not a frame, too long, or not the first bytes of this protocol.
    BadFrame,
    /// No common version.
    Version,
    /// HELLO named a line that this server has not.
    UnknownLine,
    /// A frame that has no place in this state.
    Unexpected,
    /// More output than the window allows.
    Window,
    /// Output whose position does not follow on.
    Position,
    /// An acknowledgement of input that was never sent.
    Offset,
    /// The handshake took too long.
    Slow,
    /// Too many clients on this line.
    Full,
}

macro_rules! codes {
    ($type:ty, $field:literal, $($variant:ident = $code:literal),+ $(,)?) => {
        impl $type {
            /// The byte for it on the wire.
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }
            pub(crate) fn from_code(code: u8) -> Result<Self, DecodeError> {
                match code { $($code => Ok(Self::$variant),)+ _ => Err(DecodeError::BadValue($field)) }
            }
        }
    };
}

codes!(Parity, "parity", None = 1, Odd = 2, Even = 3, Mark = 4, Space = 5);
codes!(StopBits, "stop_bits", One = 1, Two = 2, OnePointFive = 3);
codes!(Flow, "flow", None = 1, XonXoff = 2, RtsCts = 3);
codes!(RefuseWhy, "why", Held = 1, Reserved = 2, Group = 3, Mac = 4, Stopping = 5, Storage = 6);
codes!(RevokeWhy, "why", Expired = 1, Replaced = 2, Stopping = 3, Misuse = 4);
codes!(
    ErrorCode,
    "code",
    BadFrame = 1,
    Version = 2,
    UnknownLine = 3,
    Unexpected = 4,
    Window = 5,
    Position = 6,
    Offset = 7,
    Slow = 8,
    Full = 9,
);

impl Frame {
    /// The frame's name in logs and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "HELLO",
            Self::Welcome(_) => "WELCOME",
            Self::Claim(_) => "CLAIM",
            Self::Grant(_) => "GRANT",
            Self::Refuse(_) => "REFUSE",
            Self::Input(_) => "INPUT",
            Self::Ack(_) => "ACK",
            Self::Output(_) => "OUTPUT",
            Self::Written(_) => "WRITTEN",
            Self::Renew(_) => "RENEW",
            Self::Renewed(_) => "RENEWED",
            Self::Event(_) => "EVENT",
            Self::Release(_) => "RELEASE",
            Self::Revoked(_) => "REVOKED",
            Self::Observe(_) => "OBSERVE",
            Self::Observing(_) => "OBSERVING",
            Self::Settings(_) => "SETTINGS",
            Self::SetSignals(_) => "SET_SIGNALS",
            Self::Signals(_) => "SIGNALS",
            Self::Break(_) => "BREAK",
            Self::Error(..) => "ERROR",
        }
    }

    /// Appends length, type and fields.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u16(0);
        self.encode_fields(out);
        let len = out.len() - start - 2;
        assert!(len <= MAX_FRAME, "{} of {len} bytes: senders keep to the bounds", self.name());
        out[start..start + 2].copy_from_slice(&(len as u16).to_be_bytes());
    }

    fn encode_fields(&self, out: &mut BytesMut) {
        match self {
            Self::Hello(f) => f.encode(out),
            Self::Welcome(f) => f.encode(out),
            Self::Claim(f) => put_signed(out, |out| f.encode(out), &f.mac),
            Self::Grant(f) => put_signed(out, |out| f.encode(out), &f.mac),
            Self::Refuse(f) => put_signed(out, |out| f.encode(out), &f.mac),
            Self::Observe(f) => put_signed(out, |out| f.encode(out), &f.mac),
            Self::Observing(f) => put_signed(out, |out| f.encode(out), &f.mac),
            Self::Settings(change) => change.encode(out),
            Self::SetSignals(change) => change.encode(out),
            Self::Signals(signals) => {
                out.put_u8(0x32);
                out.put_u8(signals.0);
            }
            Self::Break(ms) => {
                out.put_u8(0x33);
                out.put_u32(*ms);
            }
            Self::Input(f) => {
                out.put_u8(0x10);
                out.put_u64(f.offset);
                out.put_slice(&f.bytes);
            }
            Self::Ack(f) => {
                out.put_u8(0x11);
                out.put_u64(f.offset);
                out.put_u8(u8::from(f.note.is_some()));
                out.put_slice(f.note.as_deref().unwrap_or_default());
            }
            Self::Output(f) => f.encode(out),
            Self::Written(f) => {
                out.put_u8(0x13);
                out.put_u64(f.accepted);
                out.put_u64(f.drained);
            }
            Self::Event(f) => f.encode(out),
            Self::Renew(n) => {
                out.put_u8(0x20);
                out.put_u64(*n);
            }
            Self::Renewed(n) => {
                out.put_u8(0x21);
                out.put_u64(*n);
            }
            Self::Release(node) => {
                out.put_u8(0x22);
                out.put_optional_name(node.as_ref());
            }
            Self::Revoked(f) => {
                out.put_u8(0x23);
                out.put_u64(f.epoch.0);
                out.put_u8(f.why.code());
            }
            Self::Error(code, text) => {
                out.put_u8(0x7f);
                out.put_u8(code.code());
                // Readers take it lossily, so a cut inside a character does no harm.
                out.put_slice(&text.as_bytes()[..text.len().min(MAX_ERROR_TEXT)]);
            }
        }
    }

    /// From type and fields, without the length.
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        if message.len() > MAX_FRAME {
            return Err(DecodeError::TooLong(message.len()));
        }
        let mut r = Reader::new(message);
        let frame = match r.u8()? {
            0x01 => Self::Hello(Hello::decode(&mut r)?),
            0x02 => Self::Welcome(Welcome::decode(&mut r)?),
            0x03 => Self::Claim(Claim::decode(&mut r)?),
            0x04 => Self::Grant(Grant::decode(&mut r)?),
            0x05 => Self::Refuse(Refuse::decode(&mut r)?),
            0x10 => Self::Input(Input { offset: r.u64()?, bytes: some_bytes(&mut r, MAX_INPUT)? }),
            0x11 => Self::Ack(Ack::decode(&mut r)?),
            0x12 => Self::Output(Output::decode(&mut r)?),
            0x13 => Self::Written(Written { accepted: r.u64()?, drained: r.u64()? }),
            0x14 => Self::Event(LineEvent::decode(&mut r)?),
            0x20 => Self::Renew(r.u64()?),
            0x21 => Self::Renewed(r.u64()?),
            0x22 => Self::Release(r.optional_name("reserve_for")?),
            0x23 => {
                Self::Revoked(Revoked { epoch: r.epoch()?, why: RevokeWhy::from_code(r.u8()?)? })
            }
            0x06 => Self::Observe(Observe::decode(&mut r)?),
            0x07 => Self::Observing(Observing::decode(&mut r)?),
            0x30 => Self::Settings(SettingsChange::decode(&mut r)?),
            0x31 => Self::SetSignals(SignalChange::decode(&mut r)?),
            0x32 => Self::Signals(Signals::decode(&mut r)?),
            0x33 => match r.u32()? {
                ms @ 1..=MAX_BREAK => Self::Break(ms),
                _ => return Err(DecodeError::BadValue("break")),
            },
            0x7f => {
                let code = ErrorCode::from_code(r.u8()?)?;
                let text = r.rest("text", MAX_ERROR_TEXT)?;
                Self::Error(code, String::from_utf8_lossy(&text).into_owned())
            }
            other => return Err(DecodeError::UnknownFrame(other)),
        };
        r.finish()?;
        Ok(frame)
    }
}

/// The fields that a MAC is over, and the MAC.
fn put_signed(out: &mut BytesMut, encode: impl FnOnce(&mut BytesMut), mac: &Mac) {
    encode(out);
    out.put_slice(mac);
}

impl Input {
    /// Offset after its last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

impl Output {
    /// Position after its last byte.
    pub fn end(&self) -> u64 {
        self.position.saturating_add(self.bytes.len() as u64)
    }
}
