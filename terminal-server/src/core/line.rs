//! One line: its owner, its input, its output and its clients.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use wire::frame::{self, OUTPUT_WINDOW};
use wire::time::earliest;
use wire::{
    Ack, DecodeError, Epoch, ErrorCode, EventKind, Frame, FreeCause, Guard, LineSettings, Name,
    Output, RefuseWhy, RevokeWhy, Revoked, Signals, Time, guard,
};

use super::arbiter::Arbiter;
use super::client::{Client, ClientId, ClientKind, Stage};
use super::config::{HANDSHAKE, LINGER, LineConfig};
use super::deed::{Outcome, SpoolEntry};
use super::input::{Bounds, Input};
use super::output::{Finished, OutputQueue};
use super::pace::Pace;
use super::packing::Packer;
use super::saved::Start;

mod claims;
mod deeds;
mod frames;
mod occurrence;
mod plain;
mod seats;
mod view;

pub use occurrence::{Action, Counters, Occurrence};

/// One line of a terminal server.
///
/// Contract: the driver calls one `handle_*` with what happened, then drains
/// [`Line::poll_action`], [`Line::poll_deed`], [`Line::poll_spool`], [`Line::poll_frame`] (or
/// [`Line::poll_bytes`]) of the clients it can send to, and [`Line::poll_serial`], before the next
/// `handle_*`. It calls [`Line::handle_timeout`]
/// when [`Line::poll_timeout`] has come. `now` never goes backwards.
#[derive(Debug)]
pub struct Line {
    config: LineConfig,
    arbiter: Arbiter,
    input: Input,
    packer: Packer,
    output: OutputQueue,
    /// What the last component left for its successor.
    note: Bytes,
    clients: BTreeMap<ClientId, Client>,
    actions: VecDeque<Action>,
    counters: Counters,
    /// In force, as the device said last.
    settings: LineSettings,
    /// In force once all that waits is done.
    expected: LineSettings,
    /// The levels of the wires, and whether we send a break.
    signals: Signals,
    /// When the line was given back last.
    free_since: Time,
    /// What is to be spooled; drained after every `handle_*`.
    spool: VecDeque<SpoolEntry>,
    up: bool,
    stopping: bool,
    /// When the raised start number is stored, the input goes on under a new name.
    rename_input: bool,
}

impl Line {
    /// A line whose device is open and whose start number is stored.
    pub fn new(config: LineConfig, start: Start, now: Time) -> Self {
        let resumed = start.saved.is_some();
        let mut line = Self::empty(config, start.number, start.unclean, now);
        if let Some(s) = start.saved {
            let lease = Duration::from_millis(s.lease_ms.into());
            line.arbiter = Arbiter::new(start.number, s.epoch, lease, s.holder.clone());
            line.arbiter.free(FreeCause::Restarted, s.holder, now);
            let stream = (s.incarnation, s.acked, s.delivered);
            line.input = Input::resume(stream, &s.bytes, &s.events, bounds(&line.config));
            line.packer = Packer::new(line.config.packing, line.input.end());
            let pace = Pace::new(&line.config);
            line.output = OutputQueue::resume(s.position, s.last, s.unfinished, pace);
            line.note = s.note;
        }
        if resumed && !line.config.keeps_when_closed {
            line.input.mark(EventKind::Down);
        }
        // It came back while nobody looked: a holder must not be told for ever that it is gone.
        if line.input.ends_down() {
            line.input.mark(EventKind::Up);
        }
        line.actions.push_back(Action::Announce);
        line
    }

    fn empty(config: LineConfig, start: u32, unclean: bool, now: Time) -> Self {
        Self {
            arbiter: Arbiter::new(start, Epoch::NONE, Duration::ZERO, None),
            input: Input::new(incarnation(start), bounds(&config), unclean),
            packer: Packer::new(config.packing, 0),
            output: OutputQueue::new(0, frame::LastFrame::default(), Pace::new(&config)),
            note: Bytes::new(),
            clients: BTreeMap::new(),
            actions: VecDeque::new(),
            counters: Counters::default(),
            settings: config.settings,
            expected: config.settings,
            signals: config.levels,
            free_since: now,
            spool: VecDeque::new(),
            up: true,
            stopping: false,
            rename_input: false,
            config,
        }
    }

    // ---- the world tells the core

    /// A client has connected.
    pub fn handle_connect(&mut self, id: ClientId, kind: ClientKind, now: Time) {
        let mut client = Client::new(kind, &self.config.telnet, now);
        if !self.make_room(&client) {
            if client.speaks_bytes() {
                return self.actions.push_back(Action::Drop(id));
            }
            client.end(Frame::Error(ErrorCode::Full, "too many clients".into()), now);
            self.actions.push_back(Action::Finish(id));
            self.clients.insert(id, client);
        } else if client.is_plain() {
            self.take_seat(id, client, kind, now);
        } else {
            self.clients.insert(id, client);
        }
    }

    /// A client has sent a frame.
    pub fn handle_frame(&mut self, id: ClientId, frame: Frame, now: Time) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match (&client.stage, frame) {
            (Stage::Hello(_), Frame::Hello(hello)) => self.hello(id, &hello, now),
            (Stage::Welcomed(_), Frame::Claim(claim)) => self.claim(id, claim, now),
            (Stage::Welcomed(_), Frame::Observe(observe)) => self.observe(id, &observe, now),
            (Stage::Holder | Stage::Observer, Frame::Settings(change)) => {
                self.asked_settings(id, change, now);
            }
            (Stage::Holder | Stage::Observer, Frame::SetSignals(change)) => {
                self.asked_signals(id, change, now);
            }
            (Stage::Holder, Frame::Break(ms)) => self.asked_break(id, ms, now),
            (Stage::Holder, Frame::Renew(n)) => {
                client.renewed = Some(n);
                self.arbiter.renew(id, now);
                self.actions.push_back(Action::Announce);
            }
            (Stage::Holder, Frame::Ack(ack)) => self.ack(id, ack, now),
            (Stage::Holder, Frame::Output(output)) => self.output(id, output, now),
            (Stage::Holder, Frame::Release(reserve_for)) => {
                client.stage = Stage::Ended;
                client.since = now;
                self.end_grant(FreeCause::Released, reserve_for, now);
                self.actions.push_back(Action::Finish(id));
            }
            (Stage::Ended, Frame::Output(output)) => {
                self.counters.stale_output += 1;
                if !guard::on(Guard::HolderOnly) {
                    self.output.push(self.arbiter.epoch(), output);
                }
            }
            (Stage::Ended, _) => {}
            (_, frame) => {
                let text = format!("{} has no place here", frame.name());
                self.misuse(id, ErrorCode::Unexpected, text, now);
            }
        }
    }

    /// A client has sent what is no frame. Its connection cannot be read further.
    pub fn handle_bad_frame(&mut self, id: ClientId, error: DecodeError, now: Time) {
        self.misuse(id, ErrorCode::BadFrame, error.to_string(), now);
    }

    /// A client's socket was read until it would block: the answer to [`Action::Probe`].
    pub fn handle_idle(&mut self, id: ClientId, now: Time) {
        if self.arbiter.holder().is_some_and(|h| h.client == id && h.expires <= now) {
            self.expire(id, now);
        }
        if let Some(Client { stage: Stage::Claiming(pending), .. }) = self.clients.get(&id) {
            let (claim, key) = (**pending).clone();
            self.judge(id, claim, &key, now);
        }
    }

    /// A client's connection has ended, in whatever way.
    pub fn handle_closed(&mut self, id: ClientId, now: Time) {
        self.clients.remove(&id);
        if self.arbiter.is_holder(id) {
            self.end_grant(FreeCause::Closed, None, now);
        }
    }

    /// Bytes were read from the line.
    pub fn handle_input(&mut self, bytes: &[u8], now: Time) {
        self.counters.bytes_in += bytes.len() as u64;
        self.input.push(bytes);
        self.packer.handle_input(&mut self.input, now);
        if self.config.spool {
            self.spool.push_back(SpoolEntry::Input(Bytes::copy_from_slice(bytes)));
        }
        self.report_lost();
    }

    /// Something else than a byte came from the line: break, parity, framing, overrun, or a gap.
    pub fn handle_event(&mut self, kind: EventKind, _now: Time) {
        self.counters.line_errors += 1;
        self.input.mark(kind);
        self.spool_state();
    }

    /// The tty took `count` of the bytes that [`Line::poll_serial`] gave.
    pub fn handle_written(&mut self, count: usize, now: Time) {
        self.counters.bytes_out += count as u64;
        if let Some(finished) = self.output.written(count, now) {
            self.take_effect(finished);
            if let Some(client) = self.holder_mut() {
                client.written = true;
            }
            self.read_on(now);
            self.spool_state();
        }
    }

    /// The port still holds `count` bytes by its own account.
    pub fn handle_port_holds(&mut self, count: usize, now: Time) {
        self.output.port_holds(count, now);
    }

    /// The device has gone or is back.
    pub fn handle_device(&mut self, up: bool, _now: Time) {
        if up == self.up {
            return;
        }
        self.up = up;
        if up && !self.config.keeps_when_closed {
            // What came meanwhile was read by nobody, and has no offsets.
            self.input.mark(EventKind::Gap(u64::MAX));
        }
        self.input.mark(if up { EventKind::Up } else { EventKind::Down });
        if !up {
            self.output.device_gone();
        }
        self.spool_state();
        self.actions.push_back(Action::Announce);
    }

    /// The start number was stored, for this line's sake or another's.
    pub fn handle_stored(&mut self, start: u32, _now: Time) {
        self.arbiter.stored(start);
        if std::mem::take(&mut self.rename_input) {
            self.input.rename(incarnation(start));
            self.end_line_observers();
            self.spool_state();
        }
        // A claimant may have died meanwhile, so its socket is read to the end again.
        let waiting = self.clients.iter().filter(|(_, c)| matches!(c.stage, Stage::Claiming(_)));
        self.actions.extend(waiting.map(|(id, _)| Action::Probe(*id)));
    }

    /// The start number could not be stored: nothing that depends on it may happen.
    pub fn handle_store_failed(&mut self, now: Time) {
        let waiting = self.clients.iter().filter(|(_, c)| matches!(c.stage, Stage::Claiming(_)));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(Client { stage: Stage::Claiming(pending), .. }) = self.clients.get(&id) {
                let (claim, key) = (**pending).clone();
                self.refuse(id, &claim, Some(&key), (RefuseWhy::Storage, HANDSHAKE), now);
            }
        }
    }

    /// There is no memory for so much input: the oldest gives way, what observers could still ask for
    /// before what nobody has acknowledged.
    pub fn handle_shortage(&mut self, excess: usize) {
        self.input.shrink(excess);
        self.report_lost();
    }

    /// The time that [`Line::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(holder) = self.arbiter.overdue(now) {
            if guard::on(Guard::ExpiryAfterRead) {
                self.actions.push_back(Action::Probe(holder));
            } else {
                self.expire(holder, now);
            }
        }
        if self.arbiter.drop_stale_reservation(now) {
            self.actions.push_back(Action::Announce);
        }
        self.packer.handle_timeout(&mut self.input, now);
        if now >= self.output.drained_at() {
            let accepted = self.output.accepted();
            let untold = |c: &&mut Client| !c.speaks_bytes() && c.drained_told < accepted;
            if let Some(client) = self.holder_mut().filter(untold) {
                client.written = true;
            }
        }
        self.close_late_clients(now);
    }

    /// The terminal server is to stop: the grant ends, a started frame is finished, no new claim
    /// is granted. Then [`Line::is_stopped`], and [`Line::save`].
    pub fn handle_stop(&mut self, now: Time) {
        self.stopping = true;
        if let Some((id, epoch)) = self.arbiter.holder().map(|h| (h.client, h.epoch)) {
            // As after the restart to come: the others wait one lease, the incumbent does not.
            self.end_grant(FreeCause::Restarted, None, now);
            self.revoke(id, epoch, RevokeWhy::Stopping, now);
        }
        let plain = self.clients.iter().filter(|(_, client)| client.is_plain());
        for id in plain.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.actions.push_back(Action::Finish(id));
        }
    }

    // ---- the core tells the world

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether there is more to do or to be spooled: what clients are sent may bring something up.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty() || !self.spool.is_empty()
    }

    /// What is to be written to the spool, in this order and before anything is sent that depends on
    /// it.
    pub fn poll_spool(&mut self) -> Option<SpoolEntry> {
        self.spool.pop_front()
    }

    /// Whether something waits for the tty, or is to be done with the device.
    pub fn is_writing(&self) -> bool {
        self.output.position() > self.output.accepted() || self.output.has_tasks()
    }

    /// Bytes for the tty. Tell [`Line::handle_written`] how many it took.
    pub fn poll_serial(&mut self, now: Time) -> Option<&[u8]> {
        if self.up { self.output.poll(now) } else { None }
    }

    /// Whether the line may be read: always, but where it can be throttled.
    pub fn wants_input(&mut self) -> bool {
        !self.stopping && self.has_space()
    }

    /// Whether what is read finds room. A line is held back for the node that will come, but not
    /// under a plain holder, which acknowledges nothing where there are groups.
    pub fn has_space(&mut self) -> bool {
        let plain = self.arbiter.holder().is_some_and(|holder| holder.who.is_none());
        !self.config.flow_control || plain || self.input.wants_more()
    }

    /// When [`Line::handle_timeout`] is to be called, or [`Line::poll_serial`] to be asked again.
    pub fn poll_timeout(&self) -> Option<Time> {
        let accepted = self.output.accepted();
        let undrained = |c: &&Client| {
            let told = c.speaks_bytes() || c.written || c.drained_told >= accepted;
            matches!(c.stage, Stage::Holder) && !told
        };
        let drained = self.clients.values().find(undrained).map(|_| self.output.drained_at());
        let serial = self.output.poll_timeout(self.up);
        let late = self.clients.values().filter_map(|c| self.deadline(c)).min();
        let packet = self.packer.poll_timeout();
        earliest([self.arbiter.poll_timeout(), drained, serial, late, packet])
    }

    /// After [`Line::handle_stop`]: nothing is left to be finished.
    pub fn is_stopped(&self) -> bool {
        self.stopping && !(self.up && self.output.mid_frame()) && !self.output.has_tasks()
    }

    // ---- what happens inside

    fn ack(&mut self, id: ClientId, ack: Ack, now: Time) {
        if self.holder_mut().is_none_or(|c| ack.offset > c.cursor) {
            let text = format!("offset {} was not sent yet", ack.offset);
            return self.misuse(id, ErrorCode::Offset, text, now);
        }
        let ack = Finished { ack: Some(ack.offset), note: ack.note };
        if !guard::on(Guard::AckAfterOutput) {
            return self.take_effect(ack);
        }
        if let Some(ack) = self.output.defer(self.arbiter.epoch(), ack) {
            self.take_effect(ack);
        }
    }

    fn output(&mut self, id: ClientId, output: Output, now: Time) {
        let expected = self.output.position();
        let Some(holder) = self.holder_mut() else { return };
        let (cursor, first) = (holder.cursor, holder.first_position);
        let fault = if output.position != expected {
            let text = format!("position {} where {expected} follows", output.position);
            Some((ErrorCode::Position, text))
        } else if output.end() - self.output.accepted().max(first) > OUTPUT_WINDOW {
            Some((ErrorCode::Window, format!("more than {OUTPUT_WINDOW} bytes outstanding")))
        } else {
            let unsent = output.ack.filter(|ack| *ack > cursor);
            unsent.map(|ack| (ErrorCode::Offset, format!("offset {ack} was not sent yet")))
        };
        match fault {
            Some((code, text)) => self.misuse(id, code, text, now),
            None => {
                if !guard::on(Guard::AckWithOutput) {
                    self.take_effect(Finished { ack: output.ack, note: None });
                }
                self.output.push(self.arbiter.epoch(), output);
            }
        }
    }

    fn report_lost(&mut self) {
        let total = self.input.lost();
        if total > self.counters.bytes_lost {
            self.counters.bytes_lost = total;
            self.actions.push_back(Action::Report(Occurrence::Lost { total }));
            self.spool_state();
        }
    }

    fn take_effect(&mut self, finished: Finished) {
        if let Some(offset) = finished.ack {
            self.input.ack(offset);
        }
        if let Some(note) = finished.note {
            self.note = note;
        }
        self.spool_state();
    }

    /// Something that the spool must know has changed. Several changes at once are one entry.
    fn spool_state(&mut self) {
        if self.config.spool && self.spool.back() != Some(&SpoolEntry::State) {
            self.spool.push_back(SpoolEntry::State);
        }
    }

    /// The lease of the holder has run out and nothing of it lies unread.
    fn expire(&mut self, id: ClientId, now: Time) {
        self.counters.expired += 1;
        let epoch = self.arbiter.epoch();
        self.end_grant(FreeCause::Lease, None, now);
        self.revoke(id, epoch, RevokeWhy::Expired, now);
    }

    fn revoke(&mut self, id: ClientId, epoch: Epoch, why: RevokeWhy, now: Time) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.end(Frame::Revoked(Revoked { epoch, why }), now);
        self.actions.push_back(Action::Finish(id));
    }

    fn misuse(&mut self, id: ClientId, code: ErrorCode, text: String, now: Time) {
        self.counters.misuse += 1;
        if self.arbiter.is_holder(id) {
            let epoch = self.arbiter.epoch();
            self.end_grant(FreeCause::Released, None, now);
            self.revoke(id, epoch, RevokeWhy::Misuse, now);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.end(Frame::Error(code, text.clone()), now);
        self.actions.push_back(Action::Report(Occurrence::Misuse { code, text }));
        self.actions.push_back(Action::Finish(id));
    }

    fn end_grant(&mut self, cause: FreeCause, keep_for: Option<Name>, now: Time) {
        let epoch = self.arbiter.epoch();
        let dropped = self.output.end_grant(self.config.frame_end);
        self.arbiter.free(cause, keep_for, now);
        self.free_since = now;
        self.restore(now);
        self.spool_state();
        self.actions.push_back(Action::Report(Occurrence::Ended { epoch, cause, dropped }));
        self.actions.push_back(Action::Announce);
    }

    fn close_late_clients(&mut self, now: Time) {
        let late = self.clients.iter();
        let late = late.filter(|(_, c)| self.deadline(c).is_some_and(|t| t <= now));
        let late: Vec<_> = late.map(|(id, c)| (*id, matches!(c.stage, Stage::Ended))).collect();
        for (id, ended) in late {
            if ended {
                self.clients.remove(&id);
                self.actions.push_back(Action::Drop(id));
            } else {
                self.counters.slow += 1;
                self.misuse(id, ErrorCode::Slow, "no claim in time".into(), now);
            }
        }
    }

    /// When a client that neither has the line nor goes away is closed.
    fn deadline(&self, client: &Client) -> Option<Time> {
        match client.stage {
            Stage::Hello(_) | Stage::Welcomed(_) | Stage::Claiming(_) => {
                Some(client.since + self.config.handshake)
            }
            Stage::Ended => Some(client.since + LINGER),
            Stage::Holder | Stage::Observer => None,
        }
    }

    fn holder_mut(&mut self) -> Option<&mut Client> {
        let id = self.arbiter.holder()?.client;
        self.clients.get_mut(&id)
    }
}

/// The name of an input stream that begins under a start number: never used twice.
fn incarnation(start: u32) -> u64 {
    u64::from(start) << 32
}

fn bounds(config: &LineConfig) -> Bounds {
    let packed = !config.packing.is_off();
    Bounds { ring: config.ring, history: config.history, packed }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
