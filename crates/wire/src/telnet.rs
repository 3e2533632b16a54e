//! Telnet (RFC 854, 855): what stands in a byte stream, and data made fit for one.
//!
//! [`TelnetParser`] takes a stream in any pieces and gives one [`TelnetEvent`] per call; data comes
//! out as slices of what was read, without a copy unless something in it must be undone.
//! [`encode_data`] and [`encode_subnegotiation`] are the other direction. Which options are on is
//! for [`crate::telnet_options`] to decide.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TelnetEvent {
    /// Data, at least one byte.
    Data(Bytes),
    /// A command without an argument.
    Command(TelnetCommand),
    /// The peer asks for a state of an option, or answers.
    Negotiation(Verb, u8),
    /// A subnegotiation of an option: its bytes, undoubled, at most [`MAX_SUBNEGOTIATION`].
    Subnegotiation(u8, Bytes),
}

/// Commands that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelnetCommand {
    /// BRK: send a break.
    Break,
    /// AYT: show that you are there.
    AreYouThere,
    /// DM: the end of what a Synch discards.
    DataMark,
    /// All others, by their byte.
    Other(u8),
}

/// The four words of option negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The sender wants to begin, or does.
    Will,
    /// The sender will not, or stops.
    Wont,
    /// The receiver is asked to begin, or may.
    Do,
    /// The receiver is asked to stop, or must not begin.
    Dont,
}

/// What becomes of a received CR LF while data is not binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrLf {
    /// It stays CR LF, which is right for most devices.
    #[default]
    Keep,
    /// It becomes CR, as a terminal's return key sends.
    Cr,
}

/// Reads telnet.
///
/// Call [`TelnetParser::handle_bytes`] with what was read until it gives `None`; what it knows of an
/// unfinished command is kept until the next bytes come.
#[derive(Debug, Default)]
pub struct TelnetParser {
    state: State,
    /// Data is passed on unchanged but for the doubled IAC.
    binary: bool,
    crlf: CrLf,
    /// The last byte of data was a CR, so that a NUL that follows means nothing.
    after_cr: bool,
    /// Data is thrown away up to the next data mark.
    urgent: bool,
    /// Bytes of the subnegotiation that is being read, option byte first.
    sub: Vec<u8>,
    /// It has grown beyond its bound.
    too_long: bool,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Data,
    Iac,
    Verb(Verb),
    Sub,
    SubIac,
}

/// What a data byte that is not simply itself is about.
enum Special {
    Command,
    Escape,
}

impl TelnetParser {
    /// At the beginning of a connection, when no option is on.
    pub fn new(crlf: CrLf) -> Self {
        Self { crlf, ..Self::default() }
    }

    /// From the next byte on the peer's data is binary, or no longer.
    pub fn set_binary(&mut self, binary: bool) {
        self.binary = binary;
        self.after_cr = false;
    }

    /// TCP's urgent pointer says that a data mark is ahead: data before it is thrown away, commands
    /// are not. To be called before the bytes up to the mark are.
    pub fn handle_urgent(&mut self) {
        self.urgent = true;
    }

    /// How many subnegotiations were skipped for their length, or broken off by another command.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next thing in `input`, which is taken off its front; `None` once all of it is taken.
    pub fn handle_bytes(&mut self, input: &mut Bytes) -> Option<TelnetEvent> {
        while let Some(&byte) = input.first() {
            if self.state == State::Data && byte != IAC {
                let data = self.data(input);
                if !data.is_empty() && !self.urgent {
                    return Some(TelnetEvent::Data(data));
                }
                continue;
            }
            if self.state == State::Iac && byte == IAC {
                // A doubled IAC is data, and what follows it most likely, too.
                self.state = State::Data;
                let data = self.data_from_iac(input);
                if !self.urgent {
                    return Some(TelnetEvent::Data(data));
                }
                continue;
            }
            if self.state == State::Sub {
                self.sub(input);
                continue;
            }
            input.advance(1);
            if let Some(event) = self.command(byte) {
                return Some(event);
            }
        }
        None
    }

    /// One byte of a command.
    fn command(&mut self, byte: u8) -> Option<TelnetEvent> {
        let before = std::mem::take(&mut self.state);
        match (before, byte) {
            (State::Data, _) => self.state = State::Iac,
            (State::Verb(verb), option) => return Some(TelnetEvent::Negotiation(verb, option)),
            (State::SubIac, SE) => return self.end_of_sub(),
            // The peer forgot to double: no command has such a byte, so it can only be content.
            (State::SubIac, IAC | 0..SE) => {
                self.state = State::Sub;
                self.push(&[IAC, byte][usize::from(byte == IAC)..]);
            }
            // A command on its own does not end the subnegotiation around it; one that has an
            // argument shows that its end was lost.
            (State::SubIac, NOP..=GA) => {
                self.state = State::Sub;
                return self.simple(byte);
            }
            (State::SubIac, _) => {
                self.skipped += 1;
                self.sub = Vec::new();
                self.state = State::Iac;
                return self.command(byte);
            }
            (State::Iac, WILL) => self.state = State::Verb(Verb::Will),
            (State::Iac, WONT) => self.state = State::Verb(Verb::Wont),
            (State::Iac, DO) => self.state = State::Verb(Verb::Do),
            (State::Iac, DONT) => self.state = State::Verb(Verb::Dont),
            (State::Iac, SB) => {
                self.state = State::Sub;
                (self.sub, self.too_long) = (Vec::new(), false);
            }
            (State::Iac | State::Sub, _) => return self.simple(byte),
        }
        None
    }

    fn simple(&mut self, byte: u8) -> Option<TelnetEvent> {
        Some(TelnetEvent::Command(match byte {
            SE => return None,
            DM => {
                self.urgent = false;
                TelnetCommand::DataMark
            }
            BRK => TelnetCommand::Break,
            AYT => TelnetCommand::AreYouThere,
            other => TelnetCommand::Other(other),
        }))
    }

    /// The longest run of data at the front of `input`, which does not begin with IAC.
    fn data(&mut self, input: &mut Bytes) -> Bytes {
        if std::mem::take(&mut self.after_cr) && self.is_swallowed(input[0]) {
            input.advance(1);
        }
        let plain = find_special(input, !self.binary).unwrap_or(input.len());
        match self.special(&input[plain..]) {
            Some(Special::Command) => input.split_to(plain),
            Some(Special::Escape) => self.undo(input, BytesMut::new()),
            None => {
                self.after_cr = !self.binary && input.last() == Some(&CR);
                input.split_to(input.len())
            }
        }
    }

    /// As [`Self::data`], where the IAC at the front is the second of two.
    fn data_from_iac(&mut self, input: &mut Bytes) -> Bytes {
        self.after_cr = false;
        let rest = &input[1..];
        let plain = find_special(rest, !self.binary).unwrap_or(rest.len());
        match self.special(&rest[plain..]) {
            Some(Special::Command) => input.split_to(1 + plain),
            _ => {
                let mut data = BytesMut::with_capacity(input.len());
                data.put_u8(IAC);
                input.advance(1);
                self.undo(input, data)
            }
        }
    }

    /// Data up to the next command, with all that stands for something else undone.
    fn undo(&mut self, input: &mut Bytes, mut data: BytesMut) -> Bytes {
        data.reserve(input.len());
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let plain = find_special(rest, !self.binary).unwrap_or(rest.len());
            data.put_slice(&rest[..plain]);
            at += plain;
            match (&rest[plain..], self.special(&rest[plain..])) {
                ([IAC, ..], Some(Special::Escape)) => {
                    data.put_u8(IAC);
                    self.after_cr = false;
                    at += 2;
                }
                ([cr, next, ..], Some(Special::Escape)) => {
                    data.put_u8(*cr);
                    // Commands may stand between a CR and its NUL.
                    self.after_cr = *next == IAC;
                    at += 1 + usize::from(self.is_swallowed(*next));
                }
                ([CR], _) => {
                    data.put_u8(CR);
                    self.after_cr = true;
                    at += 1;
                    break;
                }
                _ => break,
            }
        }
        input.advance(at);
        data.freeze()
    }

    /// What begins at a byte that [`find_special`] found.
    fn special(&self, at: &[u8]) -> Option<Special> {
        match at {
            [] | [CR] => None,
            [IAC, IAC, ..] | [CR, ..] => Some(Special::Escape),
            _ => Some(Special::Command),
        }
    }

    /// Whether `byte` is dropped after a CR.
    fn is_swallowed(&self, byte: u8) -> bool {
        byte == NUL || (byte == LF && self.crlf == CrLf::Cr)
    }

    /// Takes a subnegotiation's bytes up to the next IAC.
    fn sub(&mut self, input: &mut Bytes) {
        let len = find_special(input, false).unwrap_or(input.len());
        self.push(&input[..len]);
        input.advance(len);
        if input.first() == Some(&IAC) {
            input.advance(1);
            self.state = State::SubIac;
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        // The option byte comes on top of the bound.
        if self.too_long || self.sub.len() + bytes.len() > 1 + MAX_SUBNEGOTIATION {
            (self.sub, self.too_long) = (Vec::new(), true);
        } else {
            self.sub.extend_from_slice(bytes);
        }
    }

    fn end_of_sub(&mut self) -> Option<TelnetEvent> {
        let mut sub = Bytes::from(std::mem::take(&mut self.sub));
        if self.too_long || sub.is_empty() {
            self.skipped += 1;
            return None;
        }
        let option = sub.get_u8();
        Some(TelnetEvent::Subnegotiation(option, sub))
    }
}

impl Verb {
    /// Its byte.
    pub const fn code(self) -> u8 {
        match self {
            Self::Will => WILL,
            Self::Wont => WONT,
            Self::Do => DO,
            Self::Dont => DONT,
        }
    }
}

/// Appends data: IAC doubled and, where our data is not `binary`, CR NUL for a CR on its own.
///
/// A CR that ends `bytes` counts as on its own. If an LF comes in the next piece, the peer reads CR
/// NUL LF, which means the same.
pub fn encode_data(bytes: &[u8], binary: bool, out: &mut BytesMut) {
    let mut rest = bytes;
    while let Some(at) = find_special(rest, !binary) {
        out.put_slice(&rest[..=at]);
        match (rest[at], rest.get(at + 1)) {
            (IAC, _) => out.put_u8(IAC),
            (_, Some(&LF)) => {}
            _ => out.put_u8(NUL),
        }
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// Appends one step of a negotiation.
pub fn encode_negotiation(verb: Verb, option: u8, out: &mut BytesMut) {
    out.put_slice(&[IAC, verb.code(), option]);
}

/// Appends a subnegotiation with its frame, IAC doubled.
pub fn encode_subnegotiation(option: u8, bytes: &[u8], out: &mut BytesMut) {
    out.put_slice(&[IAC, SB]);
    encode_data(&[option], true, out);
    encode_data(bytes, true, out);
    out.put_slice(&[IAC, SE]);
}

/// Where the first IAC is, or CR if that counts, too.
fn find_special(bytes: &[u8], cr: bool) -> Option<usize> {
    let other = if cr { CR } else { IAC };
    let is_special = |byte: u8| byte == IAC || byte == other;
    if is_special(*bytes.first()?) {
        return Some(0);
    }
    // A mere search takes one byte at a time. Compilers make a few vector instructions of a loop
    // over numbers that never ends early.
    let any = |block: &[u8; 32]| {
        block.iter().fold(0, |any, &byte| any | u8::from(byte == IAC) | u8::from(byte == other))
    };
    let (blocks, _) = bytes.as_chunks();
    let plain = blocks.iter().take_while(|block| any(block) == 0).count() * 32;
    bytes[plain..].iter().position(|&byte| is_special(byte)).map(|at| plain + at)
}

/// Most bytes of a subnegotiation, after the option byte. The longest anybody sends is a signature
/// or a terminal's name.
pub const MAX_SUBNEGOTIATION: usize = 1024;

/// The byte before every command.
pub const IAC: u8 = 255;
/// Begins a subnegotiation.
pub const SB: u8 = 250;
/// Ends a subnegotiation.
pub const SE: u8 = 240;

const NOP: u8 = 241;
const DM: u8 = 242;
const BRK: u8 = 243;
const AYT: u8 = 246;
const GA: u8 = 249;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const NUL: u8 = 0;
const LF: u8 = 10;
const CR: u8 = 13;
