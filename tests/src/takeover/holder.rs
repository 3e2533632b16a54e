//! A node's connection from HELLO to its end, and the payload behind it.

use std::collections::VecDeque;
use std::time::Duration;

use failover_node::billing::store::StoreError;
use terminal_server::core::ClientId;
use wire::handshake::{Transcript, verify_grant};
use wire::{BootId, Claim, Epoch, Frame, Grant, Hello, Mac, Name, Nonce, frame};

use super::faults::Faults;
use super::payload::{Payload, Settled};
use super::setting::LATENCY;
use crate::world::network::Segment;
use crate::world::nodes::{group, keys, name};

/// One process of a node, from its connect on.
pub struct Holder {
    /// Its connection.
    pub id: ClientId,
    /// Which node.
    pub node: usize,
    stage: Stage,
    lease: Duration,
    seen: Epoch,
    /// On their way, with the times of arrival.
    from_port: VecDeque<(Duration, Segment)>,
    to_port: VecDeque<(Duration, Segment)>,
    renew: Option<(Duration, u64)>,
    reads: Duration,
    /// It is stopped.
    pub is_paused: bool,
    /// The store has refused it.
    pub refused: Option<StoreError>,
}

/// What has come.
pub enum Heard {
    /// The line is its: [`Holder::begin`] follows.
    Grant(Box<Grant>),
    /// Anything else.
    Other,
}

enum Stage {
    Asking(Box<Hello>),
    Claiming(Mac),
    Holding(Box<Payload>),
    Over,
}

impl Holder {
    /// It connects and says hello.
    pub fn new(
        id: ClientId,
        node: usize,
        (line, lease, seen): (Name, Duration, Epoch),
        reads: Duration,
        now: Duration,
    ) -> Self {
        let (min, max) = (frame::VERSION_MIN, frame::VERSION);
        let hello = Hello { min, max, nonce: Nonce([id as u8; 16]), line };
        let mut holder = Self {
            id,
            node,
            stage: Stage::Asking(Box::new(hello.clone())),
            lease,
            seen,
            from_port: VecDeque::new(),
            to_port: VecDeque::new(),
            renew: None,
            reads,
            is_paused: false,
            refused: None,
        };
        holder.send(Frame::Hello(hello), now);
        holder
    }

    /// Whether its process is there.
    pub fn is_alive(&self) -> bool {
        !matches!(self.stage, Stage::Over)
    }

    /// Its payload.
    pub fn payload(&mut self) -> Option<&mut Payload> {
        match &mut self.stage {
            Stage::Holding(payload) => Some(payload),
            _ => None,
        }
    }

    /// Takes the next segment that has come.
    pub fn handle_port(&mut self, now: Duration) -> Option<Heard> {
        if self.is_paused {
            return None;
        }
        let grant = match arrived(&mut self.from_port, now)? {
            Segment::Frame(frame) => self.handle_frame(frame, now),
            Segment::Fin => {
                self.end(now);
                None
            }
        };
        Some(grant.map_or(Heard::Other, |grant| Heard::Grant(Box::new(grant))))
    }

    fn handle_frame(&mut self, frame: Frame, now: Duration) -> Option<Grant> {
        let [key, _] = keys();
        match (&mut self.stage, frame) {
            (Stage::Asking(hello), Frame::Welcome(welcome)) => {
                let claim = Claim {
                    group: group(),
                    node: name(self.node),
                    boot: BootId([self.id as u8; 16]),
                    seen: self.seen,
                    lease_ms: u32::try_from(self.lease.as_millis()).unwrap_or(u32::MAX),
                    key_id: key.id(),
                    mac: [0; 32],
                };
                let claim = Transcript::new(hello, &welcome).sign_claim(&key, claim);
                self.stage = Stage::Claiming(claim.mac);
                self.send(Frame::Claim(claim), now);
            }
            (Stage::Claiming(claim), Frame::Grant(grant)) => {
                assert!(verify_grant(&key, claim, &grant), "a grant of our terminal server");
                self.renew = Some((now + self.lease / 3, 1));
                return Some(grant);
            }
            (Stage::Holding(payload), frame @ (Frame::Input(_) | Frame::Event(_))) => {
                payload.handle_frame(frame, now);
            }
            (Stage::Holding(payload), frame @ Frame::Written(_)) => {
                payload.handle_frame(frame, now);
            }
            (Stage::Holding(_), Frame::Renewed(_)) => {}
            // The grant has ended: the guard ends the payload.
            _ => self.end(now),
        }
        None
    }

    /// The payload begins, or its store refuses.
    pub fn begin(&mut self, payload: Result<Payload, StoreError>, now: Duration) {
        match payload {
            Ok(payload) => self.stage = Stage::Holding(Box::new(payload)),
            Err(error) => self.refuse(error, now),
        }
    }

    /// Does what fell due.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.is_paused {
            return;
        }
        if let Some((_, n)) = self.renew.filter(|(due, _)| *due <= now && self.is_alive()) {
            self.renew = Some((now + self.lease / 3, n + 1));
            self.send(Frame::Renew(n), now);
        }
        if let Some(payload) = self.payload()
            && let Err(error) = payload.handle_timeout(now)
        {
            self.refuse(error, now);
        }
    }

    /// Looks for what was written into its store.
    pub fn look(&mut self, now: Duration) {
        if self.is_paused {
            return;
        }
        if let Some(payload) = self.payload()
            && let Err(error) = payload.look(now)
        {
            self.refuse(error, now);
        }
    }

    /// Lets the payload do all it can.
    pub fn settle(&mut self, faults: &mut Faults, now: Duration) -> Settled {
        if self.is_paused {
            return Settled::All;
        }
        let Some(payload) = self.payload() else { return Settled::All };
        let mut frames = Vec::new();
        let settled = payload.settle(&mut frames, faults, now);
        frames.into_iter().for_each(|frame| self.send(frame, now));
        settled.unwrap_or_else(|error| {
            self.refuse(error, now);
            Settled::All
        })
    }

    /// The process ends; what it has sent arrives, and then the end of its connection.
    pub fn end(&mut self, now: Duration) {
        if self.is_alive() {
            self.stage = Stage::Over;
            self.to_port.push_back((now + LATENCY, Segment::Fin));
        }
    }

    fn refuse(&mut self, error: StoreError, now: Duration) {
        self.refused = Some(error);
        self.end(now);
    }

    fn send(&mut self, frame: Frame, now: Duration) {
        self.to_port.push_back((now + LATENCY, Segment::Frame(frame)));
    }

    /// Something is on its way to it.
    pub fn queue(&mut self, segment: Segment, now: Duration) {
        if self.is_alive() {
            self.from_port.push_back((self.read_at(now + LATENCY), segment));
        }
    }

    /// When its process reads what has come by then.
    fn read_at(&self, came: Duration) -> Duration {
        let late = came.as_nanos() % self.reads.as_nanos().max(1);
        let waits = if late == 0 { 0 } else { self.reads.as_nanos() - late };
        came + Duration::from_nanos(u64::try_from(waits).unwrap_or(u64::MAX))
    }

    /// What arrives at the terminal server now.
    pub fn poll_segment(&mut self, now: Duration) -> Option<Segment> {
        arrived(&mut self.to_port, now)
    }

    /// When something happens here next.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let to_port = self.to_port.front().map(|(at, _)| *at);
        if self.is_paused || !self.is_alive() {
            return to_port;
        }
        let from_port = self.from_port.front().map(|(at, _)| *at);
        let renew = self.renew.map(|(due, _)| due);
        let payload = self.payload().and_then(Payload::poll_timeout);
        [to_port, from_port, renew, payload].into_iter().flatten().min()
    }
}

fn arrived(queue: &mut VecDeque<(Duration, Segment)>, now: Duration) -> Option<Segment> {
    let is_due = queue.front().is_some_and(|(at, _)| *at <= now);
    let first = if is_due { queue.pop_front() } else { None };
    first.map(|(_, segment)| segment)
}
