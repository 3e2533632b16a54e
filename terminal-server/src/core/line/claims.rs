//! From HELLO to GRANT or REFUSE.

use std::time::Duration;

use wire::frame;
use wire::handshake::{self, Transcript};
use wire::{
    Claim, ErrorCode, Frame, Grant, Guard, Hello, Key, Observe, ObserveFrom, Observing, Refuse,
    RefuseWhy, Time, Welcome, guard,
};

use super::{Action, Line, Occurrence, millis};
use crate::core::arbiter::{Arbiter, Verdict};
use crate::core::client::{Client, ClientId, Stage};
use crate::core::config::{GroupKeys, HANDSHAKE};

impl Line {
    /// Claims need one of these keys from now on. A grant was given to whoever had the right one
    /// then, and stays.
    pub fn set_groups(&mut self, groups: Vec<GroupKeys>) {
        self.config.groups = groups;
    }

    pub(super) fn hello(&mut self, id: ClientId, hello: &Hello, now: Time) {
        if hello.line != self.config.line {
            let text = format!("there is no line {:?} here", hello.line);
            return self.misuse(id, ErrorCode::UnknownLine, text, now);
        }
        if hello.min > frame::VERSION || hello.max < frame::VERSION_MIN {
            let (min, max) = (frame::VERSION_MIN, frame::VERSION);
            let text = format!("versions {min} to {max} are spoken here");
            return self.misuse(id, ErrorCode::Version, text, now);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Stage::Hello(nonce) = client.stage else { return };
        let version = frame::VERSION.min(hello.max);
        let welcome = Welcome { version, nonce, server: self.config.server.clone() };
        client.stage = Stage::Welcomed(Transcript::new(hello, &welcome));
        client.control.push_back(Frame::Welcome(welcome));
    }

    pub(super) fn claim(&mut self, id: ClientId, claim: Claim, now: Time) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Stage::Welcomed(transcript) = &client.stage else { return };
        let key = match self.config.key(&claim.group, claim.key_id) {
            Err(()) => {
                return self.refuse(id, &claim, None, (RefuseWhy::Group, HANDSHAKE), now);
            }
            Ok(Some(key)) if transcript.verify_claim(key, &claim) => key.clone(),
            Ok(_) => return self.refuse(id, &claim, None, (RefuseWhy::Mac, HANDSHAKE), now),
        };
        if self.stopping {
            let why = (RefuseWhy::Stopping, Duration::ZERO);
            return self.refuse(id, &claim, Some(&key), why, now);
        }
        // A claimant whose socket ends after the claim is dead; that is looked at first.
        if !guard::on(Guard::GrantAfterRead) {
            let key = key.clone();
            return self.judge(id, claim, &key, now);
        }
        client.stage = Stage::Claiming(Box::new((claim, key)));
        self.actions.push_back(Action::Probe(id));
    }

    /// Whoever has a key of the line may see its input.
    pub(super) fn observe(&mut self, id: ClientId, observe: &Observe, now: Time) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Stage::Welcomed(transcript) = &client.stage else { return };
        let key = self.config.key(&observe.group, observe.key_id).ok().flatten();
        let Some(key) = key.filter(|key| transcript.verify_observe(key, observe)).cloned() else {
            self.counters.refused_stranger += 1;
            let text = "observing takes a key of the line".to_owned();
            return self.misuse(id, ErrorCode::Unexpected, text, now);
        };
        let offset = self.observed_from(observe.from);
        let observing = self.observing(offset);
        let observing = handshake::sign_observing(&key, &observe.mac, observing);
        let marks_told = self.input.marks_before(offset);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.stage = Stage::Observer;
        client.cursor = offset;
        client.marks_told = marks_told;
        client.control.push_back(Frame::Observing(observing));
    }

    pub(super) fn observing(&self, offset: u64) -> Observing {
        let (incarnation, end) = (self.input.incarnation(), self.input.end());
        Observing { incarnation, offset, end, mac: [0; 32] }
    }

    /// The offset at which an observer begins: never one that is not there yet, nor one that is not
    /// kept any more.
    pub(super) fn observed_from(&self, from: ObserveFrom) -> u64 {
        let (base, end) = (self.input.base(), self.input.end());
        match from {
            ObserveFrom::Live => end,
            ObserveFrom::Oldest => base,
            ObserveFrom::At { incarnation, offset } => {
                let same = incarnation == self.input.incarnation();
                if same { offset.clamp(base, end) } else { base }
            }
        }
    }

    pub(super) fn judge(&mut self, id: ClientId, claim: Claim, key: &Key, now: Time) {
        if self.stopping {
            let why = (RefuseWhy::Stopping, Duration::ZERO);
            return self.refuse(id, &claim, Some(key), why, now);
        }
        match self.arbiter.judge(&claim, now) {
            Verdict::Refuse(why, retry) => self.refuse(id, &claim, Some(key), (why, retry), now),
            Verdict::Raise(start) => {
                // Our state was lost or put back, so the input stream's name may be used as well.
                self.rename_input = true;
                self.actions.push_back(Action::Store(start));
            }
            Verdict::Grant { replaces } => {
                if let Some(old) = replaces {
                    self.replace(old, now);
                }
                let Some(mut client) = self.clients.remove(&id) else { return };
                self.take_over(id, &mut client, Some(&claim), Some(key), now);
                self.clients.insert(id, client);
            }
        }
    }

    /// The line becomes `client`'s.
    pub(super) fn take_over(
        &mut self,
        id: ClientId,
        client: &mut Client,
        claim: Option<&Claim>,
        key: Option<&Key>,
        now: Time,
    ) {
        let lease = claim.map(|c| Arbiter::clamp(c.lease_ms, self.config.lease_max));
        let who = claim.map(|c| (c.node.clone(), c.boot));
        let node = claim.map(|c| c.node.clone());
        let epoch = self.arbiter.grant(id, who, lease, now);
        // A frame being finished will be finished: its ack counts for the new holder, who would
        // answer the same input again otherwise.
        if let Some(finished) = self.output.promise().filter(|_| guard::on(Guard::PromisedAck)) {
            self.take_effect(finished);
        }
        self.input.restart_telling();
        client.stage = Stage::Holder;
        client.cursor = self.input.first_offset();
        client.drained_told = self.output.accepted();
        client.first_position = self.output.position();
        if !client.speaks_bytes() {
            let grant = Grant {
                epoch,
                lease_ms: lease.map_or(0, millis),
                incarnation: self.input.incarnation(),
                acked: client.cursor,
                delivered: self.input.delivered(),
                end: self.input.end(),
                position: self.output.position(),
                last: self.output.last(),
                note: self.note.clone(),
                mac: [0; 32],
            };
            // A console has no key to judge a MAC by.
            let grant = match (claim, key) {
                (Some(claim), Some(key)) => handshake::sign_grant(key, &claim.mac, grant),
                _ => grant,
            };
            client.control.push_back(Frame::Grant(grant));
        }
        self.attach(now);
        self.spool_state();
        self.counters.granted += 1;
        let in_doubt = self.input.delivered().saturating_sub(client.cursor);
        self.actions.push_back(Action::Report(Occurrence::Granted { node, epoch, in_doubt }));
        self.actions.push_back(Action::Announce);
    }

    pub(super) fn refuse(
        &mut self,
        id: ClientId,
        claim: &Claim,
        key: Option<&Key>,
        (why, retry): (RefuseWhy, Duration),
        now: Time,
    ) {
        match why {
            RefuseWhy::Group | RefuseWhy::Mac => self.counters.refused_stranger += 1,
            _ => self.counters.refused_busy += 1,
        }
        let status = self.status(now);
        let refuse = Refuse { why, retry_ms: millis(retry), status, mac: [0; 32] };
        let refuse = match key {
            Some(key) => handshake::sign_refuse(key, &claim.mac, refuse),
            None => refuse,
        };
        if let Some(client) = self.clients.get_mut(&id) {
            client.end(Frame::Refuse(refuse), now);
        }
        let node = claim.node.clone();
        self.actions.push_back(Action::Report(Occurrence::Refused { node, why }));
        self.actions.push_back(Action::Finish(id));
    }
}
