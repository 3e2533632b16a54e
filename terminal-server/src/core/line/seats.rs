//! Who may hold the line by connecting alone, and who gives way to whom: one rule for every kind of
//! client.

use wire::{EventKind, Frame, FreeCause, LineEvent, Refuse, RefuseWhy, RevokeWhy, Time};

use super::{Action, Line};
use crate::core::client::{Client, ClientId, ClientKind, Speech, Stage};
use crate::core::config::OnBusy;

/// What a client becomes that has shown no key.
#[derive(Debug, PartialEq, Eq)]
enum Seat {
    /// It has the line; the holder named loses it.
    Holder { replaces: Option<ClientId> },
    /// It sees the input.
    Observer,
    /// It is closed.
    Refused,
}

impl Line {
    /// On a line with groups a plain client observes, unless the line lets it hold while no node
    /// does. A line without groups belongs to who came first, and `on_busy` says what the next one
    /// gets. An operator at this machine may hold what nobody holds.
    fn seat(&self, kind: ClientKind, now: Time) -> Seat {
        let keyed = !self.config.groups.is_empty();
        let wants = match kind {
            ClientKind::Line { .. } => false,
            ClientKind::Raw | ClientKind::Telnet => !keyed || self.config.raw_may_hold,
            ClientKind::Console { hold, .. } => hold,
        };
        let console = matches!(kind, ClientKind::Console { .. });
        match self.arbiter.holder() {
            _ if self.stopping => Seat::Refused,
            _ if !wants => Seat::Observer,
            None if self.arbiter.kept_for(now).is_some() => Seat::Observer,
            None => Seat::Holder { replaces: None },
            // A node's grant ends by its lease or its own word.
            Some(holder) if holder.who.is_some() => Seat::Observer,
            Some(_) if console => Seat::Observer,
            Some(holder) => match self.config.on_busy {
                OnBusy::Replace => Seat::Holder { replaces: Some(holder.client) },
                OnBusy::Refuse if !keyed => Seat::Refused,
                OnBusy::Refuse | OnBusy::Observe => Seat::Observer,
            },
        }
    }

    /// A client that has shown no key has come.
    pub(super) fn take_seat(
        &mut self,
        id: ClientId,
        mut client: Client,
        kind: ClientKind,
        now: Time,
    ) {
        match self.seat(kind, now) {
            Seat::Observer if matches!(kind, ClientKind::Console { hold: true, .. }) => {
                self.counters.refused_busy += 1;
                let (why, status) = (RefuseWhy::Held, self.status(now));
                let refuse = Refuse { why, retry_ms: status.left_ms, status, mac: [0; 32] };
                client.end(Frame::Refuse(refuse), now);
                self.actions.push_back(Action::Finish(id));
            }
            Seat::Refused => {
                self.counters.refused_busy += 1;
                return self.actions.push_back(Action::Drop(id));
            }
            Seat::Observer => {
                client.cursor = match kind {
                    ClientKind::Console { from, .. } => self.observed_from(from),
                    _ => self.input.end(),
                };
                client.marks_told = self.input.marks_before(client.cursor);
                if let Speech::Console = client.speech {
                    client.control.push_back(Frame::Observing(self.observing(client.cursor)));
                }
            }
            Seat::Holder { replaces } => {
                if let Some(old) = replaces {
                    self.replace(old, now);
                }
                self.expire_kept(now);
                self.take_over(id, &mut client, None, None, now);
                if client.speaks_bytes() && !self.config.groups.is_empty() {
                    client.cursor = self.input.end();
                    client.marks_told = self.input.marks_before(client.cursor);
                }
            }
        }
        match &mut client.speech {
            Speech::Telnet(session) => session.handle_signals(self.signals),
            Speech::Console if !matches!(client.stage, Stage::Ended) => {
                client.signals_told = Some(self.signals);
                client.control.push_back(Frame::Settings(self.settings.into()));
                client.control.push_back(Frame::Signals(self.signals));
                if !self.up {
                    let offset = self.input.end();
                    let down = LineEvent { offset, kind: EventKind::Down };
                    client.control.push_back(Frame::Event(down));
                }
            }
            _ => {}
        }
        self.clients.insert(id, client);
    }

    /// Nobody knows for whom old input was meant: a plain client that comes late begins live. On a
    /// line with groups it stays for the node that will come.
    fn expire_kept(&mut self, now: Time) {
        if self.config.groups.is_empty() && now.since(self.free_since) > self.config.raw_keep {
            let end = self.input.end();
            self.counters.bytes_expired += end - self.input.acked();
            self.input.ack(end);
        }
    }

    /// Another takes the line from `old`.
    pub(super) fn replace(&mut self, old: ClientId, now: Time) {
        let epoch = self.arbiter.epoch();
        self.end_grant(FreeCause::Released, None, now);
        if self.clients.get(&old).is_some_and(Client::is_plain) {
            // It may be dead; nothing that it still sends or takes is waited for.
            self.counters.replaced += 1;
            self.clients.remove(&old);
            self.actions.push_back(Action::Drop(old));
        } else {
            self.revoke(old, epoch, RevokeWhy::Replaced, now);
        }
    }

    /// Makes room for `newcomer` if need be: the oldest that has not shown a key or is done goes,
    /// since whoever can connect could keep all claimants out otherwise; for a node also the oldest
    /// observer without a key. Whether there is room.
    pub(super) fn make_room(&mut self, newcomer: &Client) -> bool {
        let full = self.clients.len() >= self.config.max_clients;
        self.counters.full += u64::from(full);
        let gives_way = |client: &Client| match client.stage {
            Stage::Hello(_) | Stage::Welcomed(_) | Stage::Ended => true,
            Stage::Observer => client.is_plain() && !newcomer.is_plain(),
            Stage::Claiming(_) | Stage::Holder => false,
        };
        let rank = |client: &Client| (matches!(client.stage, Stage::Observer), client.since);
        // More than one: the last one may be there only to be told that the line is full.
        while self.clients.len() >= self.config.max_clients {
            let oldest = self.clients.iter().filter(|(_, client)| gives_way(client));
            let Some(id) = oldest.min_by_key(|(_, client)| rank(client)).map(|(id, _)| *id) else {
                return false;
            };
            self.clients.remove(&id);
            self.actions.push_back(Action::Drop(id));
        }
        true
    }

    /// The stream that they observe has another name from now on.
    pub(super) fn end_line_observers(&mut self) {
        let observers = self.clients.iter().filter(|(_, client)| {
            matches!((&client.speech, &client.stage), (Speech::Line, Stage::Observer))
        });
        for id in observers.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.clients.remove(&id);
            self.actions.push_back(Action::Drop(id));
        }
    }

    /// An operator closes a client. Whether there was one.
    pub fn kick(&mut self, id: ClientId, now: Time) -> bool {
        if self.clients.remove(&id).is_none() {
            return false;
        }
        if self.arbiter.is_holder(id) {
            self.end_grant(FreeCause::Released, None, now);
        }
        self.actions.push_back(Action::Drop(id));
        true
    }
}
