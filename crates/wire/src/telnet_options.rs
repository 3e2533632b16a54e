//! Which telnet options are on, by the Q method of RFC 1143: no loops, and no answer to what is no
//! change.

use crate::telnet::Verb;

/// Options that a serial line needs. All others are refused.
pub mod option {
    /// Eight-bit data, nothing stands for something else (RFC 856).
    pub const BINARY: u8 = 0;
    /// The sender echoes what it receives (RFC 857).
    pub const ECHO: u8 = 1;
    /// No "go ahead" after each line (RFC 858).
    pub const SUPPRESS_GO_AHEAD: u8 = 3;
    /// Settings and wires of a serial port (RFC 2217).
    pub const COM_PORT: u8 = 44;
}

/// One side's state of the known options, and what has been refused already.
#[derive(Debug, Default)]
pub struct Negotiation {
    us: [Q; KNOWN.len()],
    them: [Q; KNOWN.len()],
    /// What we may do: a bit for each of [`KNOWN`].
    we_may: [bool; KNOWN.len()],
    /// What they may do.
    they_may: [bool; KNOWN.len()],
    /// Options that were refused once: a second answer would only feed a loop.
    refused_us: Set,
    refused_them: Set,
}

/// Whose option it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We do it: our WILL, their DO.
    Us,
    /// They do it: their WILL, our DO.
    Them,
}

/// What follows from a step of the negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// To be sent.
    pub reply: Option<Verb>,
    /// The option of that side is now on, or off.
    pub change: Option<(Side, bool)>,
}

/// The states of RFC 1143, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Q {
    #[default]
    No,
    Yes,
    WantNo,
    /// Wanted off, and on again before the peer has answered.
    WantNoThenYes,
    WantYes,
    WantYesThenNo,
}

type Set = [u128; 2];

impl Negotiation {
    /// All options off; `we` and `they` may turn these on.
    pub fn new(we: &[u8], they: &[u8]) -> Self {
        Self {
            we_may: KNOWN.map(|option| we.contains(&option)),
            they_may: KNOWN.map(|option| they.contains(&option)),
            ..Self::default()
        }
    }

    /// Whether the option is on.
    pub fn is_on(&self, side: Side, option: u8) -> bool {
        index(option).is_some_and(|i| self.side(side)[i] == Q::Yes)
    }

    /// We want the option on or off: what to send, if anything.
    pub fn ask(&mut self, side: Side, option: u8, on: bool) -> Option<Verb> {
        let q = &mut self.side_mut(side)[index(option)?];
        let (next, send) = match (*q, on) {
            (Q::No, true) => (Q::WantYes, true),
            (Q::Yes, false) => (Q::WantNo, true),
            (Q::WantNo, true) => (Q::WantNoThenYes, false),
            (Q::WantNoThenYes, false) => (Q::WantNo, false),
            (Q::WantYes, false) => (Q::WantYesThenNo, false),
            (Q::WantYesThenNo, true) => (Q::WantYes, false),
            (same, _) => (same, false),
        };
        *q = next;
        send.then(|| verb(side, on))
    }

    /// The peer said `verb` about `option`.
    pub fn handle(&mut self, said: Verb, option: u8) -> Outcome {
        let (side, on) = match said {
            Verb::Will => (Side::Them, true),
            Verb::Wont => (Side::Them, false),
            Verb::Do => (Side::Us, true),
            Verb::Dont => (Side::Us, false),
        };
        let Some(i) = index(option) else {
            return Outcome { reply: self.refuse(side, option, on), change: None };
        };
        let before = self.side(side)[i];
        let may = if side == Side::Us { self.we_may[i] } else { self.they_may[i] };
        let (next, reply) = match (before, on) {
            (Q::No, true) if !may => {
                return Outcome { reply: self.refuse(side, option, on), change: None };
            }
            (Q::No, true) => (Q::Yes, Some(true)),
            // The first is an error of the peer's, which RFC 1143 takes for a no.
            (Q::WantNo, _) | (Q::No | Q::WantYes | Q::WantYesThenNo, false) => (Q::No, None),
            (Q::Yes, true) | (Q::WantNoThenYes | Q::WantYes, true) => (Q::Yes, None),
            (Q::Yes, false) => (Q::No, Some(false)),
            (Q::WantNoThenYes, false) => (Q::WantYes, Some(true)),
            (Q::WantYesThenNo, true) => (Q::WantNo, Some(false)),
        };
        self.side_mut(side)[i] = next;
        let (was, is) = (before == Q::Yes, next == Q::Yes);
        Outcome { reply: reply.map(|on| verb(side, on)), change: (was != is).then_some((side, is)) }
    }

    /// The no to a request; none to what asks for nothing, or was refused before.
    fn refuse(&mut self, side: Side, option: u8, on: bool) -> Option<Verb> {
        let refused = match side {
            Side::Us => &mut self.refused_us,
            Side::Them => &mut self.refused_them,
        };
        let word = &mut refused[usize::from(option / 128)];
        let bit = 1 << (option % 128);
        let first = on && *word & bit == 0;
        if first {
            *word |= bit;
        }
        first.then(|| verb(side, false))
    }

    fn side(&self, side: Side) -> &[Q; KNOWN.len()] {
        match side {
            Side::Us => &self.us,
            Side::Them => &self.them,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut [Q; KNOWN.len()] {
        match side {
            Side::Us => &mut self.us,
            Side::Them => &mut self.them,
        }
    }
}

/// What we say to have an option of that side on or off.
fn verb(side: Side, on: bool) -> Verb {
    match (side, on) {
        (Side::Us, true) => Verb::Will,
        (Side::Us, false) => Verb::Wont,
        (Side::Them, true) => Verb::Do,
        (Side::Them, false) => Verb::Dont,
    }
}

fn index(option: u8) -> Option<usize> {
    KNOWN.iter().position(|known| *known == option)
}

const KNOWN: [u8; 4] = [option::BINARY, option::ECHO, option::SUPPRESS_GO_AHEAD, option::COM_PORT];
