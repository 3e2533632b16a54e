//! From HELLO to GRANT or REFUSE.

use std::time::Duration;

use wire::frame;
use wire::handshake::{self, Transcript};
use wire::{
    Claim, ErrorCode, Frame, FreeCause, Grant, Hello, Key, Refuse, RefuseWhy, RevokeWhy, Time,
    Welcome,
};

use super::{Action, Line, Occurrence, millis};
use crate::core::arbiter::{Arbiter, Verdict};
use crate::core::client::{Client, ClientId, Stage};
use crate::core::config::HANDSHAKE;

impl Line {
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
        client.stage = Stage::Claiming(Box::new((claim, key)));
        self.actions.push_back(Action::Probe(id));
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
                    let epoch = self.arbiter.epoch();
                    self.end_grant(FreeCause::Released, None, now);
                    self.revoke(old, epoch, RevokeWhy::Replaced, now);
                }
                let Some(mut client) = self.clients.remove(&id) else { return };
                client.stage = Stage::Holder;
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
        if let Some(finished) = self.output.promise() {
            self.take_effect(finished);
        }
        self.input.restart_telling();
        client.cursor = self.input.first_offset();
        client.drained_told = self.output.accepted();
        client.first_position = self.output.position();
        if let (Some(claim), Some(key)) = (claim, key) {
            let grant = Grant {
                epoch,
                lease_ms: millis(self.arbiter.lease()),
                incarnation: self.input.incarnation(),
                acked: client.cursor,
                delivered: self.input.delivered(),
                end: self.input.end(),
                position: self.output.position(),
                last: self.output.last(),
                note: self.note.clone(),
                mac: [0; 32],
            };
            let grant = handshake::sign_grant(key, &claim.mac, grant);
            client.control.push_back(Frame::Grant(grant));
        }
        self.counters.granted += 1;
        let in_doubt = self.input.delivered() - client.cursor;
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
