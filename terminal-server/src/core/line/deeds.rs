//! Settings, wires and breaks: who may ask, in which order it is done, and what is answered.

use std::time::Duration;

use wire::{ErrorCode, Frame, LineSettings, SettingsChange, SignalChange, Signals, Time};

use super::{Line, Outcome};
use crate::core::client::{ClientId, MAX_CONTROL, Speech};
use crate::core::deed::{Ask, Asker, Deed, Task};
use crate::core::telnet::{Query, State};

impl Line {
    /// The next thing to be done with the device, when it is time. Nothing more is done, and
    /// nothing written, until [`Line::handle_done`]; input is read all the while.
    pub fn poll_deed(&mut self, now: Time) -> Option<Deed> {
        self.output.poll_task(self.up, now)
    }

    /// Whether a deed waits: worth asking the port what it still holds.
    pub fn has_deeds(&self) -> bool {
        self.output.tasks() > 0
    }

    /// The deed is done, or refused by the device: what is in force now.
    pub fn handle_done(&mut self, outcome: Outcome, now: Time) {
        let Some(task) = self.output.done(now) else { return };
        self.settings = outcome.settings;
        self.output.set_char_time(if self.settings == self.config.settings {
            self.config.char_time
        } else {
            self.settings.char_time()
        });
        if !self.output.has_tasks() {
            self.expected = self.settings;
        }
        let brk = Signals::BREAK;
        let ours = self.signals.with(task.deed.signals).set(brk, outcome.breaking);
        self.levels(match outcome.signals {
            Some(signals) => signals.set(brk, outcome.breaking),
            // A device without modem lines shows what it was told, and fixed levels beside it.
            None => ours,
        });
        let holds = |asker: &Asker| self.arbiter.is_holder(asker.client);
        if task.deed.purge_input && task.askers.iter().any(holds) {
            self.purge_input();
        }
        for asker in task.askers {
            self.tell(asker.client, asker.ask);
        }
        self.read_on(now);
    }

    /// The wires have these levels, by the device's word.
    pub fn handle_signals(&mut self, signals: Signals, _now: Time) {
        let brk = self.signals.has(Signals::BREAK);
        self.levels(signals.set(Signals::BREAK, brk));
    }

    fn levels(&mut self, signals: Signals) {
        if signals == self.signals {
            return;
        }
        self.signals = signals;
        for client in self.clients.values_mut() {
            if let Speech::Telnet(session) = &mut client.speech {
                session.handle_signals(signals);
            }
        }
    }

    // ---- who asks

    pub(super) fn asked_settings(&mut self, id: ClientId, change: SettingsChange, now: Time) {
        let deed = Deed { settings: self.possible(change), ..Deed::default() };
        self.asked(id, deed, Ask::Settings, now);
    }

    pub(super) fn asked_signals(&mut self, id: ClientId, change: SignalChange, now: Time) {
        self.asked(id, Deed { signals: change, ..Deed::default() }, Ask::Signals, now);
    }

    pub(super) fn asked_break(&mut self, id: ClientId, ms: u32, now: Time) {
        let break_for = Some(Duration::from_millis(ms.into()));
        self.asked(id, Deed { break_for, ..Deed::default() }, Ask::Break(ms), now);
    }

    pub(super) fn asked_telnet(&mut self, id: ClientId, query: Query, now: Time) {
        let deed = match &query {
            Query::Set { .. } => {
                let change = query.wanted(&self.expected);
                Deed { settings: self.possible(change), ..Deed::default() }
            }
            Query::Signals { change, .. } => Deed { signals: *change, ..Deed::default() },
            Query::Purge { input, output } => {
                if *output && self.arbiter.is_holder(id) {
                    self.output.purge(self.arbiter.epoch());
                }
                if *input && self.arbiter.is_holder(id) {
                    self.purge_input();
                }
                Deed { purge_input: *input, purge_output: *output, ..Deed::default() }
            }
        };
        self.asked(id, deed, Ask::Telnet(query), now);
    }

    pub(super) fn asked_telnet_break(&mut self, id: ClientId, now: Time) {
        if self.arbiter.is_holder(id) {
            let break_for = Some(self.config.break_time);
            let deed = Deed { break_for, ..Deed::default() };
            self.output.push_task(Task { deed, askers: Vec::new() }, now);
        }
    }

    /// What the settings are to be, if the change changes something and a UART can do the outcome.
    fn possible(&self, change: SettingsChange) -> Option<LineSettings> {
        let wanted = self.expected.with(change);
        (wanted != self.expected && wanted.check().is_ok()).then_some(wanted)
    }

    /// A question is answered at once where nothing is to be done before it; so is whoever does not
    /// have the line, with what is in force.
    fn asked(&mut self, id: ClientId, deed: Deed, ask: Ask, now: Time) {
        let holds = self.arbiter.is_holder(id);
        if !holds || (deed == Deed::default() && !self.output.has_tasks()) {
            return self.tell(id, ask);
        }
        let waits = self.clients.get(&id).map_or(0, |client| client.control.len());
        if waits + self.output.tasks() >= MAX_CONTROL {
            let text = "too many questions before their answers were taken".to_owned();
            return self.misuse(id, ErrorCode::Window, text, now);
        }
        self.expected = deed.settings.unwrap_or(self.expected);
        self.output.push_task(Task { deed, askers: vec![Asker { client: id, ask }] }, now);
    }

    fn tell(&mut self, id: ClientId, ask: Ask) {
        let state = State { settings: self.settings, signals: self.signals };
        let Some(client) = self.clients.get_mut(&id) else { return };
        let frame = match ask {
            Ask::Telnet(query) => {
                if let Speech::Telnet(session) = &mut client.speech {
                    session.handle_answer(&query, &state);
                }
                return;
            }
            Ask::Settings => Frame::Settings(state.settings.into()),
            Ask::Signals => {
                client.signals_told = Some(state.signals);
                Frame::Signals(state.signals)
            }
            Ask::Break(ms) => Frame::Break(ms),
        };
        // An observer that asks and never listens keeps the newest answer.
        if client.control.len() >= MAX_CONTROL {
            client.control.pop_front();
        }
        client.control.push_back(frame);
    }

    // ---- what the line does by itself

    /// Wires as the configuration wants them while somebody has the line.
    pub(super) fn attach(&mut self, now: Time) {
        if !self.config.on_attach.is_empty() {
            let deed = Deed { signals: self.config.on_attach, ..Deed::default() };
            self.output.push_task(Task { deed, askers: Vec::new() }, now);
        }
    }

    /// At the end of a grant the line is again as the configuration has it: the next holder knows
    /// what it finds, and nobody leaves a break on.
    pub(super) fn restore(&mut self, now: Time) {
        let doing = self.output.doing();
        let changed = self.settings != self.config.settings
            || doing.is_some_and(|deed| deed.settings.is_some());
        let broken = self.signals.has(Signals::BREAK)
            || doing.is_some_and(|deed| deed.signals.brk == Some(true));
        let mut signals = self.config.on_detach;
        signals.brk = broken.then_some(false).or(signals.brk);
        let settings = changed.then_some(self.config.settings);
        self.expected = self.config.settings;
        let deed = Deed { settings, signals, ..Deed::default() };
        if deed != Deed::default() {
            self.output.push_task(Task { deed, askers: Vec::new() }, now);
        }
    }

    /// The holder wants nothing of what came before. For others it was read, and stays.
    fn purge_input(&mut self) {
        let end = self.input.end();
        if let Some(client) = self.holder_mut().filter(|client| client.speaks_bytes()) {
            client.cursor = end;
            if self.config.groups.is_empty() {
                self.input.release(end);
                self.input.ack(end);
            }
        }
        self.spool_state();
    }
}
