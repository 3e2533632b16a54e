//! The node's side of the line protocol, and the lease under which it may write (I4).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use wire::frame::{self, INPUT_WINDOW, MAX_NOTE, OUTPUT_WINDOW};
use wire::handshake::{self, Transcript};
use wire::time::earliest;
use wire::{
    BootId, Claim, Epoch, ErrorCode, EventKind, Frame, Grant, Guard, Hello, Key, Mac, Name, Nonce,
    Refuse, RefuseWhy, RevokeWhy, Time, guard,
};

use super::profile::Profile;

/// Frames of the payload that may wait for the socket; it is not read while there are more.
const MAX_QUEUED: usize = 64;
/// Renewals whose sending is remembered; the answer to an older one extends nothing.
const MAX_RENEWALS: usize = 64;

/// One connection to the terminal server, from HELLO to its end.
#[derive(Debug)]
pub struct Link {
    key: Key,
    stage: Stage,
    lease: Duration,
    renew_every: Duration,
    /// ACK and OUTPUT in the payload's order: an ACK must not overtake the OUTPUT before it.
    queue: VecDeque<Frame>,
    release: Option<Option<Name>>,
    /// Output before it was handed to the tty; output before `position` was sent.
    accepted: u64,
    position: u64,
    /// Input before it is settled; the terminal server may send a window beyond it.
    settled: u64,
}

#[derive(Debug)]
enum Stage {
    /// HELLO waits to be sent, or to be answered.
    Hello {
        hello: Hello,
        claim: Claim,
        sent: bool,
    },
    /// CLAIM waits to be sent, or to be answered. Lease time counts from its sending.
    Claimed {
        claim: Claim,
        sent: Option<Time>,
    },
    /// The line is ours, as long as the lease lasts.
    Granted(Held),
    Ended,
}

/// A grant that is in force.
#[derive(Debug)]
struct Held {
    epoch: Epoch,
    /// As we count it.
    lease: Duration,
    /// When it ends unless a renewal is answered.
    until: Time,
    /// Sent and not answered: number and when it was sent.
    renewals: VecDeque<(u64, Time)>,
    number: u64,
    renew_at: Time,
}

/// What a frame from the terminal server means to the node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// The line is ours.
    Granted(Box<Grant>),
    /// For the payload: INPUT, EVENT, WRITTEN.
    Payload(Frame),
    /// The lease has been renewed.
    Renewed,
    /// It is over.
    Ended(LinkEnd),
}

/// How a connection, and with it a grant, has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEnd {
    /// The terminal server said no.
    Refused(Box<Refuse>),
    /// The terminal server ended the grant.
    Revoked(RevokeWhy),
    /// The connection was closed or lost.
    Closed,
    /// No renewal was answered in time.
    LeaseExpired,
    /// The terminal server says that we broke the protocol.
    Misuse(ErrorCode, String),
    /// Its answer has a wrong MAC: another key, or not our terminal server.
    FalseServer,
    /// It broke the protocol.
    Peer(String),
    /// By this node: its payload was told to end and does not, not even when it is killed.
    PayloadRemains,
}

impl Link {
    /// A connection has been made; `nonce` was drawn for it.
    pub(crate) fn new(
        (group, node, boot): (Name, Name, BootId),
        line: Name,
        key: Key,
        nonce: Nonce,
        seen: Epoch,
        profile: &Profile,
    ) -> Self {
        let hello = Hello { min: frame::VERSION_MIN, max: frame::VERSION, nonce, line };
        let lease_ms = u32::try_from(profile.lease.as_millis()).unwrap_or(u32::MAX);
        let mac = Mac::default();
        let claim = Claim { group, node, boot, seen, lease_ms, key_id: key.id(), mac };
        Self {
            key,
            stage: Stage::Hello { hello, claim, sent: false },
            lease: profile.lease,
            renew_every: profile.heartbeat,
            queue: VecDeque::new(),
            release: None,
            accepted: 0,
            position: 0,
            settled: 0,
        }
    }

    /// The grant in force.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.held().map(|held| held.epoch)
    }

    /// When the lease ends as things stand. Nothing is written from then on.
    pub(crate) fn lease_until(&self) -> Option<Time> {
        self.held().map(|held| held.until)
    }

    /// Whether the lease has run out.
    pub(crate) fn lease_over(&self, now: Time) -> bool {
        self.lease_until().is_some_and(|until| until <= now)
    }

    /// A frame has come from the terminal server.
    pub(crate) fn handle_frame(&mut self, frame: Frame) -> Option<LinkEvent> {
        let event = match (&mut self.stage, frame) {
            (Stage::Hello { hello, claim, sent: true }, Frame::Welcome(welcome)) => {
                if !(frame::VERSION_MIN..=frame::VERSION).contains(&welcome.version) {
                    let text = format!("it chose version {}", welcome.version);
                    return self.end(LinkEnd::Peer(text));
                }
                let claim = Transcript::new(hello, &welcome).sign_claim(&self.key, claim.clone());
                self.stage = Stage::Claimed { claim, sent: None };
                return None;
            }
            (Stage::Claimed { claim, sent: Some(sent) }, Frame::Grant(grant)) => {
                let signed = handshake::verify_grant(&self.key, &claim.mac, &grant);
                if guard::on(Guard::GrantSigned) && !signed {
                    return self.end(LinkEnd::FalseServer);
                }
                let sent = *sent;
                self.granted(&grant, sent);
                LinkEvent::Granted(Box::new(grant))
            }
            (Stage::Claimed { claim, sent: Some(_) }, Frame::Refuse(refuse)) => {
                let known = !guard::on(Guard::RefusalSigned)
                    || handshake::verify_refuse(&self.key, &claim.mac, &refuse);
                // Without a common key the refusal cannot be signed; it is believed as a failure,
                // not as evidence about the line.
                let no_key = matches!(refuse.why, RefuseWhy::Group | RefuseWhy::Mac);
                let unsigned = no_key && refuse.mac == Mac::default();
                let end = if known || unsigned {
                    LinkEnd::Refused(Box::new(refuse))
                } else {
                    LinkEnd::FalseServer
                };
                return self.end(end);
            }
            (Stage::Granted(held), Frame::Renewed(n)) => {
                held.renewed(n);
                LinkEvent::Renewed
            }
            (Stage::Granted(_), Frame::Written(written)) if written.accepted > self.position => {
                let (accepted, position) = (written.accepted, self.position);
                let text = format!("it has written up to {accepted}, and we sent up to {position}");
                return self.end(LinkEnd::Peer(text));
            }
            (Stage::Granted(_), Frame::Written(written)) => {
                self.accepted = self.accepted.max(written.accepted);
                LinkEvent::Payload(Frame::Written(written))
            }
            (Stage::Granted(_), Frame::Input(input))
                if input.end() > self.settled.saturating_add(INPUT_WINDOW) =>
            {
                let text = "it sends more input than the window allows".into();
                return self.end(LinkEnd::Peer(text));
            }
            (Stage::Granted(_), Frame::Event(event)) => {
                // What is lost is settled.
                if matches!(event.kind, EventKind::Gap(_)) {
                    self.settled = self.settled.max(event.offset);
                }
                LinkEvent::Payload(Frame::Event(event))
            }
            (Stage::Granted(_), frame @ Frame::Input(_)) => LinkEvent::Payload(frame),
            (Stage::Granted(_), Frame::Revoked(revoked)) => {
                return self.end(LinkEnd::Revoked(revoked.why));
            }
            (Stage::Ended, _) => return None,
            (_, Frame::Error(code, text)) => return self.end(LinkEnd::Misuse(code, text)),
            (_, frame) => {
                let text = format!("{} has no place here", frame.name());
                return self.end(LinkEnd::Peer(text));
            }
        };
        Some(event)
    }

    fn granted(&mut self, grant: &Grant, sent: Time) {
        let lease = Duration::from_millis(grant.lease_ms.into()).min(self.lease);
        let lease = Profile::own_lease(lease);
        // The terminal server may have given less than was asked for.
        self.renew_every = self.renew_every.min(lease / 3);
        self.accepted = grant.position;
        self.position = grant.position;
        self.settled = grant.acked;
        self.stage = Stage::Granted(Held {
            epoch: grant.epoch,
            lease,
            until: sent + lease,
            renewals: VecDeque::new(),
            number: 0,
            renew_at: sent + self.renew_every,
        });
    }

    fn end(&mut self, end: LinkEnd) -> Option<LinkEvent> {
        self.stage = Stage::Ended;
        self.queue.clear();
        Some(LinkEvent::Ended(end))
    }

    /// The payload has sent a frame. `Err` says what is wrong with it.
    pub(crate) fn handle_payload(&mut self, frame: Frame) -> Result<(), String> {
        if self.held().is_none() || self.release.is_some() {
            return Ok(());
        }
        match &frame {
            Frame::Ack(ack) if ack.note.as_ref().is_some_and(|n| n.len() > MAX_NOTE) => {
                return Err(format!("a note is at most {MAX_NOTE} bytes"));
            }
            Frame::Ack(ack) => self.settled = self.settled.max(ack.offset),
            Frame::Output(output) => {
                if output.position != self.position {
                    let (got, want) = (output.position, self.position);
                    return Err(format!("OUTPUT at position {got} where {want} follows"));
                }
                if output.end().saturating_sub(self.accepted) > OUTPUT_WINDOW {
                    return Err(format!("more than {OUTPUT_WINDOW} bytes of OUTPUT outstanding"));
                }
                self.position = output.end();
                self.settled = self.settled.max(output.ack.unwrap_or_default());
            }
            other => return Err(format!("{} has no place in a payload's output", other.name())),
        }
        self.queue.push_back(frame);
        Ok(())
    }

    /// Whether output of the payload waits for the line: whoever holds that up, it is not the
    /// payload.
    pub(crate) fn output_waits(&self) -> bool {
        self.position > self.accepted
    }

    /// Whether the payload may be read: the queue to the terminal server has room.
    pub(crate) fn wants_payload(&self) -> bool {
        self.queue.len() < MAX_QUEUED
    }

    /// The line is given back, after all the payload has sent.
    pub(crate) fn release(&mut self, reserve_for: Option<Name>) {
        self.release = Some(reserve_for);
    }

    /// The next frame for the terminal server. `now` is when it is handed to the socket.
    pub(crate) fn poll_frame(&mut self, now: Time) -> Option<Frame> {
        match &mut self.stage {
            Stage::Hello { hello, sent, .. } if !*sent => {
                *sent = true;
                Some(Frame::Hello(hello.clone()))
            }
            Stage::Claimed { claim, sent: sent @ None } => {
                *sent = Some(now);
                Some(Frame::Claim(claim.clone()))
            }
            Stage::Granted(held) => {
                if guard::on(Guard::WriteUnderLease) && held.until <= now {
                    return None;
                }
                if held.renew_at <= now {
                    return Some(Frame::Renew(held.renew(self.renew_every, now)));
                }
                if let Some(frame) = self.queue.pop_front() {
                    return Some(frame);
                }
                let reserve_for = self.release.take()?;
                self.stage = Stage::Ended;
                Some(Frame::Release(reserve_for))
            }
            _ => None,
        }
    }

    /// When [`Link::poll_frame`] has a renewal, or the lease ends.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let held = self.held()?;
        let until = guard::on(Guard::WriteUnderLease).then_some(held.until);
        earliest([Some(held.renew_at), until])
    }

    fn held(&self) -> Option<&Held> {
        match &self.stage {
            Stage::Granted(held) => Some(held),
            _ => None,
        }
    }
}

impl Held {
    fn renew(&mut self, every: Duration, now: Time) -> u64 {
        self.number += 1;
        if self.renewals.len() >= MAX_RENEWALS {
            self.renewals.pop_front();
        }
        self.renewals.push_back((self.number, now));
        self.renew_at = now + every;
        self.number
    }

    /// The lease counts from when the answered renewal was sent.
    fn renewed(&mut self, number: u64) {
        let newest = self.renewals.back().copied().filter(|_| !guard::on(Guard::LeaseFromAnswered));
        while let Some((n, sent)) = self.renewals.front().copied().filter(|(n, _)| *n <= number) {
            let sent = newest.map_or(sent, |(_, newest)| newest);
            self.renewals.pop_front();
            if n == number {
                self.until = self.until.max(sent + self.lease);
            }
        }
    }
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refuse) => write!(f, "refused: {:?}", refuse.why),
            Self::Revoked(why) => write!(f, "revoked: {why:?}"),
            Self::Closed => f.write_str("the connection was closed"),
            Self::LeaseExpired => f.write_str("no renewal was answered in time"),
            Self::Misuse(code, text) => write!(f, "the terminal server objects: {code:?}: {text}"),
            Self::FalseServer => {
                f.write_str("wrong HMAC from the terminal server: does it have the same key file?")
            }
            Self::PayloadRemains => f.write_str("its payload does not end; the line is given up"),
            Self::Peer(text) => write!(f, "the terminal server broke the protocol: {text}"),
        }
    }
}
