//! The harness: a node, its terminal server's words, its peers' heartbeats, and a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use failover_node::core::{Action, LOCK, Node, NodeConfig, Occurrence};
use wire::handshake::{sign_grant, sign_refuse};
use wire::{
    Ack, Beacon, BootId, Claim, Epoch, Frame, FreeCause, Grant, Heartbeat, Input, Key, LastFrame,
    LineState, LineStatus, Name, Nonce, Output, PeerEcho, Refuse, RefuseWhy, Role, Time, Welcome,
};

/// A node called `me`, and everything that came out of it.
pub(crate) struct Story {
    pub(crate) node: Node,
    pub(crate) now: Time,
    /// Frames for the terminal server, with when they were handed to the socket.
    pub(crate) frames: Vec<(Time, Frame)>,
    /// Frames for the payload.
    pub(crate) payload: Vec<Frame>,
    /// Everything else, with when.
    pub(crate) actions: Vec<(Time, Action)>,
    peers: BTreeMap<String, u64>,
    beacons: u64,
    server_start: u32,
    claim: Option<Claim>,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn key() -> Key {
    Key::new(1, *b"the key that all of them share..")
}

/// The terminal server's yes to `claim`, on an empty line.
pub(crate) fn signed_grant(claim: &Claim, epoch: Epoch) -> Grant {
    let grant = Grant {
        epoch,
        lease_ms: claim.lease_ms,
        incarnation: 1,
        acked: 0,
        delivered: 0,
        end: 0,
        position: 0,
        last: LastFrame::default(),
        note: Bytes::new(),
        mac: [0; 32],
    };
    sign_grant(&key(), &claim.mac, grant)
}

impl Story {
    /// It begins to listen a second after the host's boot, alone.
    pub(crate) fn begin() -> Self {
        Self::begin_with(|_| {})
    }

    pub(crate) fn begin_with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let now = Time::ZERO + ms(1000);
        let mut config =
            NodeConfig::new(name("group"), name("me"), name("line"), BootId([1; 16]), key().into());
        change(&mut config);
        let mut story = Self {
            node: Node::new(config, now),
            now,
            frames: Vec::new(),
            payload: Vec::new(),
            actions: Vec::new(),
            peers: BTreeMap::new(),
            beacons: 0,
            server_start: 1,
            claim: None,
        };
        story.drain();
        story
    }

    /// The calling contract: all output before the next input.
    pub(crate) fn drain(&mut self) {
        while let Some(frame) = self.node.poll_frame(LOCK, self.now) {
            if let Frame::Claim(claim) = &frame {
                self.claim = Some(claim.clone());
            }
            self.frames.push((self.now, frame));
        }
        self.payload.extend(std::iter::from_fn(|| self.node.poll_payload(LOCK)));
        let actions = std::iter::from_fn(|| self.node.poll_action());
        self.actions.extend(actions.map(|action| (self.now, action)));
    }

    /// Lets time pass, with every deadline kept to the nanosecond.
    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.node.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    // ---- what came out

    pub(crate) fn when(&self, wanted: impl Fn(&Action) -> bool) -> Option<Time> {
        self.actions.iter().find(|(_, action)| wanted(action)).map(|(at, _)| *at)
    }

    pub(crate) fn did(&self, action: &Action) -> bool {
        self.when(|a| a == action).is_some()
    }

    pub(crate) fn forget(&mut self) {
        self.actions.clear();
        self.frames.clear();
        self.payload.clear();
    }

    pub(crate) fn reports(&self) -> Vec<&Occurrence> {
        let reports = self.actions.iter().filter_map(|(_, action)| match action {
            Action::Report(_, occurrence) => Some(occurrence),
            _ => None,
        });
        reports.collect()
    }

    pub(crate) fn last_heartbeat(&self) -> &Heartbeat {
        let mut beats = self.actions.iter().filter_map(|(_, action)| match action {
            Action::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        });
        beats.next_back().expect("it sends heartbeats")
    }

    pub(crate) fn sent(&self, wanted: &Frame) -> bool {
        self.frames.iter().any(|(_, frame)| frame == wanted)
    }

    // ---- the terminal server

    /// A beacon says this about the line.
    pub(crate) fn beacon(&mut self, state: LineState, holder: &str, epoch: Epoch) {
        self.beacon_of(LineStatus { state, ..status(holder, epoch) });
    }

    /// Likewise, of a terminal server that has started anew.
    pub(crate) fn restart(&mut self, state: LineState, holder: &str, epoch: Epoch) {
        self.server_start += 1;
        self.beacon(state, holder, epoch);
    }

    pub(crate) fn beacon_of(&mut self, status: LineStatus) {
        self.beacons += 1;
        let beacon = Beacon {
            group: name("group"),
            server: name("server"),
            start: self.server_start,
            seq: self.beacons,
            interval_ms: 100,
            lines: vec![status],
        };
        self.node.handle_beacon(&beacon, self.now);
        self.drain();
    }

    /// The instance has started and connected; HELLO is answered, CLAIM is sent.
    pub(crate) fn connect(&mut self) {
        self.node.handle_connected(LOCK, Nonce([2; 16]), self.now);
        self.drain();
        assert!(matches!(self.frames.last(), Some((_, Frame::Hello(_)))));
        let welcome = Welcome { version: 1, nonce: Nonce([3; 16]), server: name("server") };
        self.frame(Frame::Welcome(welcome));
        assert!(matches!(self.frames.last(), Some((_, Frame::Claim(_)))));
    }

    pub(crate) fn frame(&mut self, frame: Frame) {
        self.node.handle_frame(LOCK, frame, self.now);
        self.drain();
    }

    /// The answer yes.
    pub(crate) fn grant(&mut self, epoch: Epoch) {
        let grant = self.signed_grant(epoch);
        self.frame(Frame::Grant(grant));
    }

    pub(crate) fn signed_grant(&self, epoch: Epoch) -> Grant {
        signed_grant(self.claim.as_ref().expect("it has claimed"), epoch)
    }

    /// The answer no.
    pub(crate) fn refuse(&mut self, why: RefuseWhy, holder: &str, epoch: Epoch) {
        let claim = self.claim.as_ref().expect("it has claimed");
        let refuse = Refuse { why, retry_ms: 100, status: status(holder, epoch), mac: [0; 32] };
        let refuse = sign_refuse(&key(), &claim.mac, refuse);
        self.frame(Frame::Refuse(refuse));
    }

    /// RENEW is answered as soon as it is sent, while time passes.
    pub(crate) fn wait_renewed(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let before = self.frames.len();
            self.wait(ms(1));
            let renewals: Vec<u64> = self.frames[before..].iter().filter_map(number).collect();
            for n in renewals {
                self.frame(Frame::Renewed(n));
            }
        }
    }

    /// To the grant of `epoch`, as soon as the node claims.
    pub(crate) fn become_coordinator(&mut self, epoch: Epoch) {
        while self.node.role() != Role::Candidate {
            self.wait(ms(1));
        }
        self.connect();
        self.grant(epoch);
        assert_eq!(self.node.role(), Role::Coordinator);
    }

    /// Guard, payload and connection are gone.
    pub(crate) fn instance_gone(&mut self) {
        assert!(self.did(&Action::EndInstance(LOCK)));
        self.node.handle_instance_gone(LOCK, self.now);
        self.drain();
    }

    // ---- the payload

    pub(crate) fn input(&mut self, offset: u64) {
        self.frame(Frame::Input(Input { offset, bytes: Bytes::from_static(b"input") }));
    }

    pub(crate) fn payload_says(&mut self, frame: Frame) {
        self.node.handle_payload(LOCK, frame, self.now);
        self.drain();
    }

    pub(crate) fn payload_gone(&mut self) {
        self.node.handle_payload_gone(LOCK, self.now);
        self.drain();
    }

    /// What follows the payload's end: RELEASE is sent, the connection closes, the instance ends.
    pub(crate) fn release_to_the_end(&mut self) {
        self.node.handle_disconnected(LOCK, self.now);
        self.drain();
        self.instance_gone();
    }

    // ---- the peers

    /// A heartbeat of a peer that has proved itself, or does so now.
    pub(crate) fn hear(&mut self, peer: &str) {
        self.hear_with(peer, |_| {});
    }

    pub(crate) fn hear_with(&mut self, peer: &str, change: impl Fn(&mut Heartbeat)) {
        let known = self.peers.contains_key(peer);
        self.heartbeat(peer, 0, &change);
        if !known {
            // The heartbeat of the next moment asks for an echo.
            self.wait(ms(20));
            let echo = self.last_heartbeat().peers.iter().find(|p| p.node == name(peer)).unwrap();
            let challenge = echo.challenge;
            self.heartbeat(peer, challenge, &change);
        }
        assert!(self.node.members().any(|m| m.heartbeat.node == name(peer)), "{peer} is believed");
    }

    /// As [`Self::hear_with`], from a further start of the peer's process.
    pub(crate) fn hear_again(&mut self, peer: &str, boot: u8, change: impl Fn(&mut Heartbeat)) {
        let change = |h: &mut Heartbeat| {
            h.boot = BootId([boot; 16]);
            change(h);
        };
        let believed = self.node.members().find(|m| m.heartbeat.node == name(peer));
        if believed.is_some_and(|m| m.heartbeat.boot != BootId([boot; 16])) {
            self.peers.remove(peer);
        }
        self.hear_with(peer, change);
    }

    fn heartbeat(&mut self, peer: &str, echo: u64, change: impl Fn(&mut Heartbeat)) {
        let seq = self.peers.entry(peer.to_owned()).or_default();
        *seq += 1;
        let mut heartbeat = Heartbeat {
            hears_beacons: true,
            digest: self.node.config().digests.current,
            peers: vec![PeerEcho { node: name("me"), challenge: 5, echo, heard_ms: 0 }],
            ..Heartbeat::new(name("group"), name(peer), BootId([9; 16]), *seq)
        };
        change(&mut heartbeat);
        self.node.handle_heartbeat(heartbeat, self.now);
        self.drain();
    }
}

/// The number of a RENEW.
pub(crate) fn number((_, frame): &(Time, Frame)) -> Option<u64> {
    match frame {
        Frame::Renew(n) => Some(*n),
        _ => None,
    }
}

pub(crate) fn status(holder: &str, epoch: Epoch) -> LineStatus {
    LineStatus {
        line: name("line"),
        up: true,
        state: LineState::Held,
        holder: Some(name(holder)),
        epoch,
        lease_ms: 400,
        left_ms: 400,
        reserved_for: None,
    }
}

pub(crate) fn ack(offset: u64) -> Frame {
    Frame::Ack(Ack { offset, note: None })
}

pub(crate) fn output(position: u64) -> Frame {
    let bytes = Bytes::from_static(b"output");
    Frame::Output(Output { position, ack: None, note: None, bytes })
}

pub(crate) const FREE: LineState = LineState::Free(FreeCause::Closed);
pub(crate) const FIRST: Epoch = Epoch::new(1, 1);
