//! RFC 2217, COM-PORT-OPTION: what telnet's subnegotiation of option 44 says about a serial port.
//!
//! One [`Command`] is one subnegotiation, in either direction: what a client asks for, or the value
//! in force that the server answers. A value that does not exist is read as a question, since it
//! changes nothing and wants an answer all the same.

use bytes::{BufMut, Bytes, BytesMut};

use crate::telnet::{MAX_SUBNEGOTIATION, encode_subnegotiation};
use crate::telnet_options::option::COM_PORT;
use crate::{Flow, LineSettings, Parity, SettingsChange, SignalChange, Signals, StopBits};

/// One subnegotiation. `None` in a client's command asks for the value in force; in a server's it
/// is a value that has no name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Who the sender is, in any bytes; empty from somebody who asks.
    Signature(Bytes),
    /// Bits per second.
    Baud(Option<u32>),
    /// The same as an index into Cisco's table of speeds, in one byte.
    CiscoBaud(Option<u32>),
    /// Data bits, 5 to 8.
    DataBits(Option<u8>),
    /// The parity bit.
    Parity(Option<Parity>),
    /// Stop bits.
    StopBits(Option<StopBits>),
    /// Flow control and our wires.
    Control(Control),
    /// What happened on the line: a set of [`line_state`] bits. From a client: asks for it.
    LineState(u8),
    /// Levels and changes of the modem lines: a set of [`modem_state`] bits. From a client: asks
    /// for it.
    ModemState(u8),
    /// The peer must send neither data nor commands.
    Suspend,
    /// It may again.
    Resume,
    /// Which bits of the line state the client wants to be told of.
    LineStateMask(Option<u8>),
    /// Which bits of the modem state the client wants to be told of.
    ModemStateMask(Option<u8>),
    /// Throw away what is on its way. Neither, if the value does not exist.
    Purge {
        /// Read from the line.
        input: bool,
        /// Meant for the line.
        output: bool,
    },
}

/// SET-CONTROL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Flow control of output, and with it of input.
    Flow(Option<Flow>),
    /// Break: the transmitter held at space.
    Break(Option<bool>),
    /// Data terminal ready.
    Dtr(Option<bool>),
    /// Request to send.
    Rts(Option<bool>),
    /// Flow control of input.
    InputFlow(Option<Flow>),
}

/// Who sends a command: a server's codes lie 100 higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The program that uses the port.
    Client,
    /// The one that has it.
    Server,
}

impl Command {
    /// From an undoubled subnegotiation of option 44. `None` if that side has no such command.
    pub fn decode(from: Sender, sub: &Bytes) -> Option<Self> {
        let code = sub.first()?.checked_sub(from.base())?;
        let value = sub.slice(1..);
        let byte = value.first().copied();
        Some(match code {
            0 => Self::Signature(value),
            1 => decode_baud(&value),
            2 => Self::DataBits(byte.filter(|bits| (5..=8).contains(bits))),
            3 => Self::Parity(byte.and_then(|code| Parity::from_code(code).ok())),
            4 => Self::StopBits(byte.and_then(|code| StopBits::from_code(code).ok())),
            5 => Self::Control(Control::decode(byte.unwrap_or(0))),
            6 => Self::LineState(byte.unwrap_or(0)),
            7 => Self::ModemState(byte.unwrap_or(0)),
            8 => Self::Suspend,
            9 => Self::Resume,
            10 => Self::LineStateMask(byte),
            11 => Self::ModemStateMask(byte),
            12 => {
                let which = byte.filter(|which| *which <= 3).unwrap_or(0);
                Self::Purge { input: which & 1 != 0, output: which & 2 != 0 }
            }
            _ => return None,
        })
    }

    /// Appends the whole subnegotiation, IAC doubled. Of a signature as much as a subnegotiation
    /// may hold.
    pub fn encode(&self, from: Sender, out: &mut BytesMut) {
        let mut sub = BytesMut::with_capacity(8);
        let mut put = |code: u8, value: &[u8]| {
            sub.put_u8(from.base() + code);
            sub.put_slice(value);
        };
        match self {
            Self::Signature(text) => put(0, &text[..text.len().min(MAX_SUBNEGOTIATION - 1)]),
            Self::Baud(baud) => put(1, &baud.unwrap_or(0).to_be_bytes()),
            Self::CiscoBaud(baud) => match (baud, baud.and_then(cisco_index)) {
                (None, _) => put(1, &[0]),
                (Some(_), Some(index)) => put(1, &[index]),
                // The table lacks it. Nobody takes the long form, which begins with 0, for an index.
                (Some(baud), None) => put(1, &baud.to_be_bytes()),
            },
            Self::DataBits(bits) => put(2, &[bits.unwrap_or(0)]),
            Self::Parity(parity) => put(3, &[parity.map_or(0, Parity::code)]),
            Self::StopBits(stop) => put(4, &[stop.map_or(0, StopBits::code)]),
            Self::Control(control) => put(5, &[control.code()]),
            Self::LineState(bits) => put(6, &[*bits]),
            Self::ModemState(bits) => put(7, &[*bits]),
            Self::Suspend => put(8, &[]),
            Self::Resume => put(9, &[]),
            Self::LineStateMask(mask) => put(10, mask.as_slice()),
            Self::ModemStateMask(mask) => put(11, mask.as_slice()),
            Self::Purge { input, output } => put(12, &[u8::from(*input) | u8::from(*output) << 1]),
        }
        encode_subnegotiation(COM_PORT, &sub, out);
    }

    /// What of the line's settings a client's command changes; an empty change asks. `None` if it
    /// is about something else.
    pub fn settings_change(&self) -> Option<SettingsChange> {
        let none = SettingsChange::default();
        Some(match *self {
            Self::Baud(baud) | Self::CiscoBaud(baud) => SettingsChange { baud, ..none },
            Self::DataBits(data_bits) => SettingsChange { data_bits, ..none },
            Self::Parity(parity) => SettingsChange { parity, ..none },
            Self::StopBits(stop_bits) => SettingsChange { stop_bits, ..none },
            Self::Control(Control::Flow(flow)) => SettingsChange { flow, ..none },
            // Input follows output: the client is told what is in force.
            Self::Control(Control::InputFlow(_)) => none,
            _ => return None,
        })
    }

    /// As [`Self::settings_change`], of our wires.
    pub fn signal_change(&self) -> Option<SignalChange> {
        let none = SignalChange::default();
        Some(match *self {
            Self::Control(Control::Break(brk)) => SignalChange { brk, ..none },
            Self::Control(Control::Dtr(dtr)) => SignalChange { dtr, ..none },
            Self::Control(Control::Rts(rts)) => SignalChange { rts, ..none },
            _ => return None,
        })
    }

    /// The server's answer to a setting or wire: what is in force. Anything else as it is.
    #[must_use]
    pub fn in_force(&self, settings: &LineSettings, signals: Signals) -> Self {
        match self {
            Self::Baud(asked) => Self::Baud(Some(nominal(settings.baud, *asked))),
            Self::CiscoBaud(asked) => Self::CiscoBaud(Some(nominal(settings.baud, *asked))),
            Self::DataBits(_) => Self::DataBits(Some(settings.data_bits)),
            Self::Parity(_) => Self::Parity(Some(settings.parity)),
            Self::StopBits(_) => Self::StopBits(Some(settings.stop_bits)),
            Self::Control(control) => Self::Control(match control {
                Control::Flow(_) => Control::Flow(Some(settings.flow)),
                Control::InputFlow(_) => Control::InputFlow(Some(settings.flow)),
                Control::Break(_) => Control::Break(Some(signals.has(Signals::BREAK))),
                Control::Dtr(_) => Control::Dtr(Some(signals.has(Signals::DTR))),
                Control::Rts(_) => Control::Rts(Some(signals.has(Signals::RTS))),
            }),
            other => other.clone(),
        }
    }
}

impl Control {
    /// All bytes mean something: those that are reserved, or name a flow control that there is not,
    /// ask for the flow control in force.
    const fn decode(code: u8) -> Self {
        match code {
            1 => Self::Flow(Some(Flow::None)),
            2 => Self::Flow(Some(Flow::XonXoff)),
            3 => Self::Flow(Some(Flow::RtsCts)),
            4 => Self::Break(None),
            5 => Self::Break(Some(true)),
            6 => Self::Break(Some(false)),
            7 => Self::Dtr(None),
            8 => Self::Dtr(Some(true)),
            9 => Self::Dtr(Some(false)),
            10 => Self::Rts(None),
            11 => Self::Rts(Some(true)),
            12 => Self::Rts(Some(false)),
            // 18 is DTR as input's flow control, 17 and 19 DCD and DSR as output's.
            13 | 18 => Self::InputFlow(None),
            14 => Self::InputFlow(Some(Flow::None)),
            15 => Self::InputFlow(Some(Flow::XonXoff)),
            16 => Self::InputFlow(Some(Flow::RtsCts)),
            _ => Self::Flow(None),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Flow(None) => 0,
            Self::Flow(Some(flow)) => flow.code(),
            Self::Break(None) => 4,
            Self::Break(Some(on)) => {
                if on {
                    5
                } else {
                    6
                }
            }
            Self::Dtr(None) => 7,
            Self::Dtr(Some(on)) => {
                if on {
                    8
                } else {
                    9
                }
            }
            Self::Rts(None) => 10,
            Self::Rts(Some(on)) => {
                if on {
                    11
                } else {
                    12
                }
            }
            Self::InputFlow(None) => 13,
            Self::InputFlow(Some(flow)) => 13 + flow.code(),
        }
    }
}

impl Sender {
    const fn base(self) -> u8 {
        match self {
            Self::Client => 0,
            Self::Server => 100,
        }
    }
}

/// Bits of [`Command::LineState`].
pub mod line_state {
    /// Input was lost.
    pub const OVERRUN: u8 = 2;
    /// A byte with a parity error.
    pub const PARITY: u8 = 4;
    /// A byte with a framing error.
    pub const FRAMING: u8 = 8;
    /// A break was received.
    pub const BREAK: u8 = 16;
}

/// Bits of [`Command::ModemState`]: levels in the upper half, changes in the lower.
pub mod modem_state {
    use crate::Signals;

    /// The level bits of the far end's wires.
    pub fn levels(signals: Signals) -> u8 {
        pick(signals, DCD, RI, DSR, CTS)
    }

    /// The change bits between two samples. The ring indicator counts at its end only.
    pub fn changes(before: Signals, after: Signals) -> u8 {
        let ended = before.0 & !after.0 & Signals::RI.0;
        let changed = (before.0 ^ after.0) & !Signals::RI.0;
        pick(Signals(changed | ended), DELTA_DCD, TRAILING_RI, DELTA_DSR, DELTA_CTS)
    }

    /// The far end's wires of a value.
    pub fn signals(value: u8) -> Signals {
        Signals::NONE
            .set(Signals::DCD, value & DCD != 0)
            .set(Signals::RI, value & RI != 0)
            .set(Signals::DSR, value & DSR != 0)
            .set(Signals::CTS, value & CTS != 0)
    }

    fn pick(signals: Signals, dcd: u8, ri: u8, dsr: u8, cts: u8) -> u8 {
        let wires =
            [(Signals::DCD, dcd), (Signals::RI, ri), (Signals::DSR, dsr), (Signals::CTS, cts)];
        let bits = wires.into_iter().filter(|(wire, _)| signals.has(*wire));
        bits.fold(0, |all, (_, bit)| all | bit)
    }

    const DCD: u8 = 128;
    const RI: u8 = 64;
    const DSR: u8 = 32;
    const CTS: u8 = 16;
    const DELTA_DCD: u8 = 8;
    const TRAILING_RI: u8 = 4;
    const DELTA_DSR: u8 = 2;
    const DELTA_CTS: u8 = 1;
}

/// Four bytes are a speed, fewer an index into Cisco's table.
fn decode_baud(value: &[u8]) -> Command {
    match *value {
        [a, b, c, d, ..] => {
            let baud = u32::from_be_bytes([a, b, c, d]);
            Command::Baud(Some(baud).filter(|baud| *baud != 0))
        }
        [index, ..] => {
            let known = CISCO_BAUDS.iter().find(|(known, _)| *known == index);
            Command::CiscoBaud(known.map(|(_, baud)| *baud))
        }
        [] => Command::Baud(None),
    }
}

fn cisco_index(baud: u32) -> Option<u8> {
    CISCO_BAUDS.iter().find(|(_, known)| *known == baud).map(|(index, _)| *index)
}

/// The speed that was asked for where the real one is within 2 % of it, as clients compare.
fn nominal(real: u32, asked: Option<u32>) -> u32 {
    asked.filter(|asked| u64::from(real.abs_diff(*asked)) * 50 <= u64::from(*asked)).unwrap_or(real)
}

/// Cisco's speeds by index.
const CISCO_BAUDS: [(u8, u32); 11] = [
    (3, 300),
    (4, 600),
    (5, 1200),
    (6, 2400),
    (7, 4800),
    (8, 9600),
    (10, 19_200),
    (12, 38_400),
    (13, 57_600),
    (14, 115_200),
    (15, 230_400),
];
