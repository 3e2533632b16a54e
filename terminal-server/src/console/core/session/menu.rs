//! The commands behind the escape key.

use wire::{Frame, SettingsChange, SignalChange, Signals};

use super::frames::settings_text;
use super::{Outcome, Session, Show, Stage};

impl Session {
    pub(super) fn command(&mut self, command: u8) {
        match command {
            b'?' => self.help(),
            b'q' => self.end(Outcome::Done),
            b'o' => self.toggle_hold(),
            b'b' => _ = self.holder_sends("send a break", Frame::Break(BREAK_MS)),
            b'd' => self.toggle_wire("DTR", Signals::DTR),
            b'r' => self.toggle_wire("RTS", Signals::RTS),
            b'c' => self.state(),
            b'h' => {
                self.view.hex = !self.view.hex;
                self.said("hex view", self.view.hex);
            }
            b't' => {
                self.view.stamps = !self.view.stamps;
                self.said("times (UTC)", self.view.stamps);
            }
            b'e' => {
                self.options.echo = !self.options.echo;
                self.said("local echo", self.options.echo);
            }
            b'l' => self.shows.push_back(Show::Local(b"\x1b[2J\x1b[H".to_vec())),
            _ => {
                let key = char::from(command).escape_default();
                let escape = self.options.escape;
                self.notice(&format!("`{key}` is no command; {escape} ? lists them"));
            }
        }
    }

    fn help(&mut self) {
        let escape = self.options.escape;
        self.notice(&format!("commands, after {escape}:"));
        for (key, text) in COMMANDS {
            self.notice(&format!("  {key}  {text}"));
        }
        self.notice(&format!("  {escape} again sends it to the line"));
    }

    fn toggle_hold(&mut self) {
        match self.stage {
            Stage::Connecting { .. } => self.notice("there is no connection"),
            _ if self.options.read_only => self.notice("this console is read-only"),
            Stage::Observing => self.connect(true),
            // A grant ends with its connection, so the end of it is the release.
            Stage::Holding(_) => {
                self.typed.clear();
                self.connect(false);
            }
        }
    }

    fn toggle_wire(&mut self, name: &str, wire: Signals) {
        let Some(signals) = self.signals else {
            return self.notice(&format!("{name}: this line has no wires to set"));
        };
        let on = !signals.has(wire);
        let change = match wire {
            Signals::DTR => SignalChange { dtr: Some(on), ..SignalChange::default() },
            _ => SignalChange { rts: Some(on), ..SignalChange::default() },
        };
        let doing = format!("set {name} {}", if on { "on" } else { "off" });
        if self.holder_sends(&doing, Frame::SetSignals(change)) {
            self.notice(&doing);
        }
    }

    fn state(&mut self) {
        let role = match &self.stage {
            Stage::Connecting { .. } => "not connected",
            Stage::Observing => "observed",
            Stage::Holding(_) => "held by this console",
        };
        let settings = self.settings.map_or_else(|| "unknown settings".to_owned(), settings_text);
        let up = if self.up { "up" } else { "DOWN" };
        let line = &self.options.line;
        self.notice(&format!("{line}: {up}, {role}, {settings}, {} line errors", self.errors));
        if let Some(signals) = self.signals {
            self.notice(&format!("wires: {}", wires(signals)));
        }
        if let Some((_, next)) = self.seen {
            self.notice(&format!("input shown up to offset {next}"));
        }
        // Both come as frames and are kept; asking keeps them true where changes are not told.
        if matches!(self.stage, Stage::Holding(_)) {
            self.frames.push_back(Frame::Settings(SettingsChange::default()));
            self.frames.push_back(Frame::SetSignals(SignalChange::default()));
        }
    }

    /// Whether the frame will be sent: only a holder's is.
    fn holder_sends(&mut self, doing: &str, frame: Frame) -> bool {
        let holding = matches!(self.stage, Stage::Holding(_));
        if holding {
            self.frames.push_back(frame);
        } else {
            let escape = self.options.escape;
            self.notice(&format!("only a holder can {doing}; {escape} o takes the line"));
        }
        holding
    }

    fn said(&mut self, what: &str, on: bool) {
        self.notice(&format!("{what} {}", if on { "on" } else { "off" }));
    }
}

fn wires(signals: Signals) -> String {
    let level = |(name, wire): (&str, Signals)| {
        format!("{name} {}", if signals.has(wire) { "on" } else { "off" })
    };
    let names = [
        ("DTR", Signals::DTR),
        ("RTS", Signals::RTS),
        ("CTS", Signals::CTS),
        ("DSR", Signals::DSR),
        ("DCD", Signals::DCD),
        ("RI", Signals::RI),
    ];
    names.map(level).join(", ")
}

/// In the order of need. The letters are tio's where it has the command.
const COMMANDS: [(char, &str); 11] = [
    ('?', "this list"),
    ('q', "quit"),
    ('o', "take the line to write to it, or give it back"),
    ('b', "send a break"),
    ('c', "show the line's settings, state and wires"),
    ('d', "DTR on or off"),
    ('r', "RTS on or off"),
    ('h', "hex view on or off"),
    ('t', "times on or off"),
    ('e', "local echo on or off"),
    ('l', "clear the screen"),
];
/// As long as tio's, and longer than any character at 110 bit/s.
const BREAK_MS: u32 = 250;
