//! A session, its client and a line to try it on.

pub(super) use bytes::{Bytes, BytesMut};
use wire::SettingsChange;
pub(super) use wire::rfc2217::Command;
use wire::rfc2217::Sender;
pub(super) use wire::telnet;
use wire::telnet::{TelnetEvent, TelnetParser, Verb};
pub(super) use wire::telnet_options::option::{BINARY, COM_PORT};
pub(super) use wire::{LineSettings, Signals};

use super::super::State;
pub(super) use super::super::{Query, Said, Session, TelnetOptions};

/// A session and a line that does whatever is possible.
pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) state: State,
    /// What reached the line.
    pub(super) line: Vec<Said>,
    /// Settings are refused, as to an observer or by a device that cannot.
    pub(super) refuses: bool,
    pub(super) client: TelnetParser,
}

/// What the client heard, adjacent data as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Data(Vec<u8>),
    Option(Verb, u8),
    Port(Command),
}

impl Rig {
    pub(super) fn new(options: TelnetOptions) -> Self {
        let signals = Signals::DTR | Signals::RTS | Signals::CTS | Signals::DSR;
        let mut session = Session::new(options);
        session.handle_signals(signals);
        let state = State { settings: LineSettings::new(9600), signals };
        let (line, client) = (Vec::new(), TelnetParser::default());
        Self { session, state, line, refuses: false, client }
    }

    /// A client that has all options on, and has heard so.
    pub(super) fn agreed() -> Self {
        let mut rig = Self::new(TelnetOptions::default());
        rig.say(&AGREE);
        assert!(rig.session.speaks_2217());
        rig.client.set_binary(true);
        rig
    }

    /// The client says `bytes`; what it hears at once.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.take_in(bytes);
        self.hear()
    }

    /// The client says `command`; what it hears at once.
    pub(super) fn ask(&mut self, command: Command) -> Vec<Command> {
        let heard = self.say(&said_by_client(&[command]));
        let port = |heard| if let Heard::Port(command) = heard { Some(command) } else { None };
        heard.into_iter().filter_map(port).collect()
    }

    pub(super) fn take_in(&mut self, bytes: &[u8]) {
        let mut bytes = Bytes::copy_from_slice(bytes);
        while let Some(said) = self.session.handle_bytes(&mut bytes) {
            if let Said::Ask(query) = &said {
                self.carry_out(query);
                self.session.handle_answer(query, &self.state);
            }
            self.line.push(said);
        }
        assert!(bytes.is_empty() || self.session.is_full());
    }

    pub(super) fn carry_out(&mut self, query: &Query) {
        if self.refuses {
            return;
        }
        match query {
            Query::Set { .. } => {
                let wanted = self.state.settings.with(query.wanted(&self.state.settings));
                if wanted.check().is_ok() {
                    self.state.settings = wanted;
                }
            }
            Query::Signals { change, .. } => self.state.signals = self.state.signals.with(*change),
            Query::Purge { .. } => {}
        }
    }

    pub(super) fn hear(&mut self) -> Vec<Heard> {
        let mut out = BytesMut::new();
        let said = self.session.poll_control(&mut out);
        assert_eq!(said, !out.is_empty());
        self.understand(out)
    }

    pub(super) fn understand(&mut self, out: BytesMut) -> Vec<Heard> {
        let (mut out, mut heard) = (out.freeze(), Vec::new());
        while let Some(event) = self.client.handle_bytes(&mut out) {
            match (event, heard.last_mut()) {
                (TelnetEvent::Data(data), Some(Heard::Data(before))) => before.extend(data),
                (TelnetEvent::Data(data), _) => heard.push(Heard::Data(data.to_vec())),
                (TelnetEvent::Negotiation(verb, option), _) => {
                    heard.push(Heard::Option(verb, option));
                }
                (TelnetEvent::Subnegotiation(COM_PORT, sub), _) => {
                    let command = Command::decode(Sender::Server, &sub);
                    heard.push(Heard::Port(command.expect("servers say what there is")));
                }
                (other, _) => panic!("{other:?}"),
            }
        }
        heard
    }

    /// What the line was told of data, in one piece.
    pub(super) fn data(&self) -> Vec<u8> {
        let data = |said: &Said| if let Said::Data(data) = said { data.to_vec() } else { vec![] };
        self.line.iter().flat_map(data).collect()
    }

    /// What the line was asked for, in order.
    pub(super) fn changes(&self) -> Vec<SettingsChange> {
        let change = |said: &Said| match said {
            Said::Ask(Query::Set { change, .. }) => Some(*change),
            _ => None,
        };
        self.line.iter().filter_map(change).collect()
    }
}

pub(super) fn said_by_client(commands: &[Command]) -> BytesMut {
    let mut out = BytesMut::new();
    commands.iter().for_each(|command| command.encode(Sender::Client, &mut out));
    out
}

pub(super) fn sub(bytes: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    telnet::encode_subnegotiation(COM_PORT, bytes, &mut out);
    out
}

/// The answer of a client that agrees to all offers, and offers COM-PORT of its own accord.
pub(super) const AGREE: [u8; 15] =
    [255, 253, 3, 255, 251, 3, 255, 253, BINARY, 255, 251, BINARY, 255, 251, COM_PORT];
