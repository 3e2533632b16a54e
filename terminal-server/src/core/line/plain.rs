//! Clients that speak bytes: raw, and telnet with RFC 2217.

use bytes::{Bytes, BytesMut};
use wire::frame::MAX_OUTPUT;
use wire::{EventKind, Output, Time};

use super::Line;
use crate::core::client::{Client, ClientId, Speech, Stage};
use crate::core::output::MAX_TASKS;
use crate::core::telnet::Said;

/// Bytes of a plain holder that may wait for the tty: enough that a bulk transfer never starves
/// between two wake-ups, little for a slow line to forget when its holder is replaced.
const WINDOW: u64 = 64 * 1024;
/// Longest piece of a plain stream that goes to a tty without pace in one write.
const BULK_PIECE: usize = 16 * 1024;

impl Line {
    /// A client that speaks bytes has sent some. The driver reads only while
    /// [`Line::wants_bytes`].
    pub fn handle_bytes(&mut self, id: ClientId, bytes: Bytes, now: Time) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.unread = if client.unread.is_empty() {
            bytes
        } else {
            [&client.unread[..], &bytes].concat().into()
        };
        self.digest(id, now);
    }

    /// The sender has pushed (TCP urgent) past what lies unread: telnet's Synch.
    pub fn handle_urgent(&mut self, id: ClientId) {
        if let Some(Speech::Telnet(session)) = self.clients.get_mut(&id).map(|c| &mut c.speech) {
            session.handle_urgent();
        }
    }

    /// Whether a plain client's socket may be read now: TCP holds it back otherwise.
    pub fn wants_bytes(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|client| client.unread.is_empty())
            && (!self.arbiter.is_holder(id) || self.has_room())
    }

    fn has_room(&self) -> bool {
        self.output.position() - self.output.accepted() < WINDOW && self.output.tasks() < MAX_TASKS
    }

    /// There may be room for what a plain holder has sent and we have not looked at.
    pub(super) fn read_on(&mut self, now: Time) {
        if let Some(id) = self.arbiter.holder().map(|holder| holder.client) {
            self.digest(id, now);
        }
    }

    fn digest(&mut self, id: ClientId, now: Time) {
        while self.has_room() || !self.arbiter.is_holder(id) {
            let Some(client) = self.clients.get_mut(&id).filter(|c| !c.unread.is_empty()) else {
                return;
            };
            let said = match &mut client.speech {
                Speech::Raw => Some(Said::Data(std::mem::take(&mut client.unread))),
                Speech::Telnet(session) => session.handle_bytes(&mut client.unread),
                Speech::Line | Speech::Console => return,
            };
            match said {
                // All is read, or its answers must be taken first.
                None => return,
                Some(Said::Data(bytes)) => self.data(id, bytes),
                Some(Said::Ask(query)) => self.asked_telnet(id, query, now),
                Some(Said::Break) => self.asked_telnet_break(id, now),
            }
        }
    }

    fn data(&mut self, id: ClientId, mut bytes: Bytes) {
        if !self.arbiter.is_holder(id) {
            self.counters.unheard += bytes.len() as u64;
            return;
        }
        let piece = if self.config.pace { MAX_OUTPUT } else { BULK_PIECE };
        while !bytes.is_empty() {
            let bytes = bytes.split_to(bytes.len().min(piece));
            let position = self.output.position();
            let output = Output { position, ack: None, note: None, bytes };
            self.output.push(self.arbiter.epoch(), output);
        }
    }

    /// Appends what a client that speaks bytes is to be sent, about `max` bytes at most. Whether
    /// there was something. What is handed out to a holder is acknowledged: it has no other way.
    pub fn poll_bytes(&mut self, id: ClientId, out: &mut BytesMut, max: usize, now: Time) -> bool {
        let before = out.len();
        if !self.clients.get(&id).is_some_and(Client::speaks_bytes) {
            return false;
        }
        self.answer(id, out, max, now);
        let held = match self.clients.get(&id).map(|client| &client.speech) {
            Some(Speech::Telnet(session)) => session.is_suspended(),
            _ => false,
        };
        // On a line with groups a plain holder takes no input away from the node that will come.
        let takes = self.config.groups.is_empty();
        match self.clients.get(&id).map(|client| &client.stage) {
            _ if held => {}
            Some(Stage::Holder) if takes => self.bytes_of_holder(id, out, max),
            Some(Stage::Holder | Stage::Observer) => self.bytes_of_observer(id, out, max),
            _ => {}
        }
        out.len() > before
    }

    /// A telnet client's answers. It may have said more than it is let ask before it hears them.
    fn answer(&mut self, id: ClientId, out: &mut BytesMut, max: usize, now: Time) {
        let until = out.len() + max;
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            let Speech::Telnet(session) = &mut client.speech else { return };
            session.poll_control(out);
            if client.unread.is_empty() || out.len() >= until {
                return;
            }
            let waits = client.unread.len();
            self.digest(id, now);
            if self.clients.get(&id).is_none_or(|client| client.unread.len() == waits) {
                return;
            }
        }
    }

    fn bytes_of_holder(&mut self, id: ClientId, out: &mut BytesMut, max: usize) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let until = out.len() + max;
        let before = self.input.acked();
        client.cursor = client.cursor.max(before);
        while out.len() < until {
            while let Some(event) = self.input.tell(client.cursor) {
                happened(&mut client.speech, event.kind, out);
            }
            let bytes = self.input.take(client.cursor, max);
            if bytes.is_empty() {
                break;
            }
            append(&mut client.speech, bytes, out);
            client.cursor += bytes.len() as u64;
            self.input.ack(client.cursor);
        }
        if self.input.acked() > before {
            self.spool_state();
        }
    }

    fn bytes_of_observer(&mut self, id: ClientId, out: &mut BytesMut, max: usize) {
        let until = out.len() + max;
        if self.catch_up(id).is_none() {
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        while out.len() < until {
            while let Some(event) = self.input.tell_observer(&mut client.marks_told, client.cursor)
            {
                happened(&mut client.speech, event.kind, out);
            }
            let bytes = self.input.run(client.cursor, max);
            if bytes.is_empty() {
                return;
            }
            append(&mut client.speech, bytes, out);
            client.cursor += bytes.len() as u64;
        }
    }
}

/// What is no byte only RFC 2217 can say.
fn happened(speech: &mut Speech, kind: EventKind, out: &mut BytesMut) {
    if let Speech::Telnet(session) = speech {
        session.handle_event(kind);
        session.poll_control(out);
    }
}

fn append(speech: &mut Speech, bytes: &[u8], out: &mut BytesMut) {
    match speech {
        Speech::Telnet(session) => session.encode(bytes, out),
        _ => out.extend_from_slice(bytes),
    }
}
