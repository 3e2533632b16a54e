//! One telnet client's state.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use wire::rfc2217::{Command, Sender, line_state};
use wire::telnet::{self, TelnetCommand, TelnetEvent, TelnetParser, Verb};
use wire::telnet_options::{Negotiation, Side, option};
use wire::{CrLf, EventKind, Signals};

use super::query::{Answer, Query, Said, State};
use super::watch::{LineWatch, ModemWatch};

/// One telnet client's state.
///
/// Calling contract:
/// - [`Session::handle_signals`] once at the start and at every change of the modem lines;
///   [`Session::handle_event`] where the event stands in the input.
/// - [`Session::handle_bytes`] with what was read until it gives `None`. If bytes are left then,
///   [`Session::is_full`] is true: read no more, and call again with what is left after
///   [`Session::poll_control`] or [`Session::handle_answer`].
/// - Each [`Said::Ask`] gets one [`Session::handle_answer`], in the order of the asking, at once or
///   later. Whoever may not change the line is answered with the state in force.
/// - After all of these: [`Session::poll_control`]. While [`Session::is_suspended`], nothing is sent.
#[derive(Debug)]
pub struct Session {
    options: TelnetOptions,
    parser: TelnetParser,
    negotiation: Negotiation,
    /// COM-PORT was agreed on, by whichever side began.
    speaks_2217: bool,
    suspended: bool,
    /// What is to be sent.
    control: BytesMut,
    /// For each unanswered question the replies that must not overtake its answer.
    behind: VecDeque<BytesMut>,
    line: LineWatch,
    modem: ModemWatch,
    /// What the client says that it is.
    client: Option<Bytes>,
}

/// How a line's telnet clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelnetOptions {
    /// Who we say that we are; of a longer text the first [`MAX_SIGNATURE`] bytes.
    pub signature: String,
    /// Offer to echo, so that terminals don't: right for a console, whose far end echoes.
    pub echo: bool,
    /// What a received CR LF becomes while the client's data is not binary.
    pub crlf: CrLf,
    /// A data mark sends a break, too.
    pub break_on_sync: bool,
}

impl Session {
    /// A client that has just connected; the opening offers wait in [`Session::poll_control`].
    pub fn new(options: TelnetOptions) -> Self {
        let they = [option::BINARY, option::SUPPRESS_GO_AHEAD, option::COM_PORT];
        let we = [&they[..], if options.echo { &[option::ECHO] } else { &[] }].concat();
        let mut session = Self {
            parser: TelnetParser::new(options.crlf),
            negotiation: Negotiation::new(&we, &they),
            options,
            speaks_2217: false,
            suspended: false,
            control: BytesMut::new(),
            behind: VecDeque::new(),
            line: LineWatch::default(),
            modem: ModemWatch::default(),
            client: None,
        };
        session.offer();
        session
    }

    /// What the client said next. Consumes `bytes`; `None` once they are used up, or the client has
    /// asked so much that it must hear first ([`Session::is_full`]).
    pub fn handle_bytes(&mut self, bytes: &mut Bytes) -> Option<Said> {
        loop {
            // Its RESUME may be behind its questions. Who goes on asking wants to hear.
            if self.control.len() >= MAX_CONTROL {
                self.suspended = false;
            }
            if self.is_full() {
                return None;
            }
            let said = match self.parser.handle_bytes(bytes)? {
                TelnetEvent::Data(data) => Some(Said::Data(data)),
                TelnetEvent::Command(command) => self.command(command),
                TelnetEvent::Negotiation(verb, option) => {
                    self.negotiate(verb, option);
                    None
                }
                TelnetEvent::Subnegotiation(option::COM_PORT, sub) if self.speaks_2217 => {
                    Command::decode(Sender::Client, &sub).and_then(|command| self.com_port(command))
                }
                TelnetEvent::Subnegotiation(..) => None,
            };
            if said.is_some() {
                return said;
            }
        }
    }

    /// Urgent data is pending: the client's data is thrown away up to its data mark. To be called
    /// before the bytes up to the mark are handed in.
    pub fn handle_urgent(&mut self) {
        self.parser.handle_urgent();
    }

    /// The oldest unanswered question has been dealt with; `state` is what is in force now.
    pub fn handle_answer(&mut self, query: &Query, state: &State) {
        let reply = match query {
            Query::Set { answer, .. } | Query::Signals { answer, .. } => {
                answer.0.in_force(&state.settings, state.signals)
            }
            Query::Purge { input, output } => Command::Purge { input: *input, output: *output },
        };
        let behind = self.behind.pop_front();
        debug_assert!(behind.is_some(), "every question has one answer");
        if self.speaks_2217 {
            reply.encode(Sender::Server, &mut self.control);
            self.control.extend_from_slice(&behind.unwrap_or_default());
        }
    }

    /// The modem lines have these levels now.
    pub fn handle_signals(&mut self, now: Signals) {
        self.modem.sample(now.and(Signals::THEIRS));
    }

    /// Something happened at this place of the input.
    pub fn handle_event(&mut self, kind: EventKind) {
        let bit = match kind {
            EventKind::Break => line_state::BREAK,
            EventKind::Parity => line_state::PARITY,
            EventKind::Framing => line_state::FRAMING,
            // A gap is input that was lost, whoever lost it.
            EventKind::Overrun | EventKind::Gap(_) => line_state::OVERRUN,
            EventKind::Down | EventKind::Up => 0,
        };
        self.line.bits |= bit & self.line.mask;
    }

    /// Appends replies and notifications; says whether there were any.
    pub fn poll_control(&mut self, out: &mut BytesMut) -> bool {
        if self.suspended {
            return false;
        }
        let before = out.len();
        out.extend_from_slice(&self.control);
        // Dropped rather than cleared: an idle client keeps no buffer.
        self.control = BytesMut::new();
        if self.speaks_2217 {
            if let Some(bits) = self.line.take() {
                Command::LineState(bits).encode(Sender::Server, out);
            }
            if let Some(bits) = self.modem.take_due() {
                Command::ModemState(bits).encode(Sender::Server, out);
            }
        }
        out.len() > before
    }

    /// The client wants neither data nor commands for now.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// [`Session::handle_bytes`] takes nothing before replies have been sent or questions answered.
    pub fn is_full(&self) -> bool {
        let behind = self.behind.iter().map(|replies| MAX_REPLY + replies.len());
        self.control.len() + behind.sum::<usize>() >= MAX_CONTROL
    }

    /// Appends bytes of the line for the client, after all control that waits, as both belong to
    /// the same stream.
    pub fn encode(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.poll_control(out);
        out.reserve(bytes.len());
        telnet::encode_data(bytes, self.negotiation.is_on(Side::Us, option::BINARY), out);
    }

    /// Whether RFC 2217 is agreed on.
    pub fn speaks_2217(&self) -> bool {
        self.speaks_2217
    }

    /// What the client says that it is, in its own bytes.
    pub fn client(&self) -> Option<&Bytes> {
        self.client.as_ref()
    }

    /// How many of its subnegotiations were too long or broken off.
    pub fn skipped(&self) -> u64 {
        self.parser.skipped()
    }

    fn offer(&mut self) {
        let echo = self.options.echo.then_some((Side::Us, option::ECHO));
        for (side, option) in OFFERS.into_iter().chain(echo) {
            if let Some(verb) = self.negotiation.ask(side, option, true) {
                telnet::encode_negotiation(verb, option, &mut self.control);
            }
        }
    }

    fn command(&mut self, command: TelnetCommand) -> Option<Said> {
        match command {
            TelnetCommand::Break => Some(Said::Break),
            TelnetCommand::DataMark => self.options.break_on_sync.then_some(Said::Break),
            TelnetCommand::AreYouThere => {
                let text = [b"\r\n[", self.options.signature_bytes(), b"]\r\n"].concat();
                let binary = self.negotiation.is_on(Side::Us, option::BINARY);
                telnet::encode_data(&text, binary, &mut self.control);
                None
            }
            TelnetCommand::Other(_) => None,
        }
    }

    fn negotiate(&mut self, verb: Verb, option: u8) {
        let outcome = self.negotiation.handle(verb, option);
        if let Some(verb) = outcome.reply {
            telnet::encode_negotiation(verb, option, &mut self.control);
        }
        match (option, outcome.change) {
            (option::BINARY, Some((Side::Them, on))) => self.parser.set_binary(on),
            (option::COM_PORT, Some((_, on))) => self.agree(on),
            _ => {}
        }
    }

    /// RFC 2217 is on, or off. Clients may agree on it in both directions, which counts once.
    fn agree(&mut self, on: bool) {
        if on == self.speaks_2217 {
            return;
        }
        self.speaks_2217 = on;
        self.suspended = false;
        self.line = LineWatch::default();
        self.modem = ModemWatch { levels: self.modem.levels, due: on, ..ModemWatch::default() };
        if !on {
            self.behind.iter_mut().for_each(BytesMut::clear);
        }
    }

    /// What the line must do for it, if anything.
    fn com_port(&mut self, command: Command) -> Option<Said> {
        if let Some(change) = command.settings_change() {
            return self.ask(Query::Set { change, answer: Answer(command) });
        }
        if let Some(change) = command.signal_change() {
            return self.ask(Query::Signals { change, answer: Answer(command) });
        }
        match command {
            Command::Purge { input, output } if input || output => {
                return self.ask(Query::Purge { input, output });
            }
            Command::Signature(text) => self.signature(text),
            Command::LineStateMask(mask) => {
                self.line.mask = mask.unwrap_or(self.line.mask);
                self.reply(&Command::LineStateMask(Some(self.line.mask)));
            }
            Command::ModemStateMask(mask) => {
                self.modem.mask = mask.unwrap_or(self.modem.mask);
                self.reply(&Command::ModemStateMask(Some(self.modem.mask)));
                if self.modem.mask != 0 {
                    let bits = self.modem.take();
                    self.reply(&Command::ModemState(bits));
                }
            }
            Command::LineState(_) => {
                let bits = self.line.take().unwrap_or(0);
                self.reply(&Command::LineState(bits));
            }
            Command::ModemState(_) => {
                let bits = self.modem.take();
                self.reply(&Command::ModemState(bits));
            }
            Command::Suspend => self.suspended = true,
            Command::Resume => self.suspended = false,
            // A purge of nothing: its value does not exist.
            other => self.reply(&other),
        }
        None
    }

    /// A text answers no question of ours. It gets our own once, and not again: two sides that
    /// answer every text would never end.
    fn signature(&mut self, text: Bytes) {
        if text.is_empty() || self.client.is_none() {
            let ours = Bytes::copy_from_slice(self.options.signature_bytes());
            self.reply(&Command::Signature(ours));
        }
        if !text.is_empty() {
            self.client = Some(text);
        }
    }

    fn ask(&mut self, query: Query) -> Option<Said> {
        self.behind.push_back(BytesMut::new());
        Some(Said::Ask(query))
    }

    fn reply(&mut self, command: &Command) {
        let out = self.behind.back_mut().unwrap_or(&mut self.control);
        command.encode(Sender::Server, out);
    }
}

impl TelnetOptions {
    fn signature_bytes(&self) -> &[u8] {
        let bytes = self.signature.as_bytes();
        &bytes[..bytes.len().min(MAX_SIGNATURE)]
    }
}

impl Default for TelnetOptions {
    fn default() -> Self {
        Self {
            signature: "linekeeper".to_owned(),
            echo: false,
            crlf: CrLf::default(),
            break_on_sync: false,
        }
    }
}

/// Most bytes of replies that wait, unanswered questions included; some hundreds of commands. A
/// client that floods us with questions is read no further until it has read.
const MAX_CONTROL: usize = 4 * 1024;

/// Longest reply to a question, its frame and four doubled bytes of speed included.
const MAX_REPLY: usize = 14;

/// Longest signature, in bytes.
pub const MAX_SIGNATURE: usize = 256;

/// Both directions of a line are binary and without "go ahead", and the client may set the port.
const OFFERS: [(Side, u8); 5] = [
    (Side::Us, option::SUPPRESS_GO_AHEAD),
    (Side::Them, option::SUPPRESS_GO_AHEAD),
    (Side::Us, option::BINARY),
    (Side::Them, option::BINARY),
    (Side::Them, option::COM_PORT),
];
