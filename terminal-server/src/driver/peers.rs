//! The sockets of one line's clients, owned by the line's own loop.
//!
//! They are no tasks of their own, because the line must be able to read one of them to its end in
//! the middle of a decision: whether a claimant still lives, whether a renewal lies unread.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;
use tokio_util::codec::Decoder;
use wire::codec::CodecError;
use wire::time::earliest;
use wire::{DecodeError, Frame, FrameCodec, Time};

use super::gate::Permit;
use super::stream::{Address, Stream};
use crate::core::{ClientId, ClientKind};

/// All connections of one line.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<ClientId, Peer>,
    /// Filled by [`Peers::poll_ready`].
    ready: Vec<ClientId>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: Stream,
    address: Address,
    kind: ClientKind,
    /// When it came.
    since: Time,
    /// The core takes what it sends. Of clients that speak bytes not always: TCP holds them back.
    wanted: bool,
    /// Received, not decoded yet: less than a frame and a read.
    inbox: BytesMut,
    /// Bytes read from the socket by this loop, and handed to it.
    received: u64,
    sent: u64,
    /// Encoded, not sent yet: not filled further above [`SEND_LOW`].
    outbox: BytesMut,
    /// There is more to look at than one turn's worth, perhaps in the inbox already.
    more: bool,
    /// What it sends is no protocol any more; it is read and forgotten.
    deaf: bool,
    /// It has sent its last byte, and that byte is not written yet: until when it is waited for.
    hang_up: Option<Time>,
    /// Nothing will be added to the outbox; then the sending side is closed.
    finishing: bool,
    finished: bool,
    /// That the peer has pushed was said, and nothing was read since.
    urgent_told: bool,
    /// Its place among the connections from its address.
    permit: Option<Permit>,
}

/// What a look at a socket found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A frame.
    Frame(Frame),
    /// Bytes of a client that speaks bytes.
    Bytes(Bytes),
    /// It has pushed past what lies unread.
    Urgent,
    /// No frame: the connection cannot be read further.
    Bad(DecodeError),
    /// Bytes that make nothing whole yet.
    Part,
    /// Nothing at present.
    Idle,
    /// The end of the connection.
    Closed,
}

impl Peers {
    pub(crate) fn insert(&mut self, id: ClientId, peer: Peer) {
        self.peers.insert(id, peer);
    }

    /// Closes the connection, if there still is one.
    pub(crate) fn remove(&mut self, id: ClientId) {
        self.peers.remove(&id);
    }

    pub(crate) fn get(&mut self, id: ClientId) -> Option<&mut Peer> {
        self.peers.get_mut(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// A client that has sent its last byte, when nothing is to be written any more or its time is
    /// over.
    pub(crate) fn to_hang_up(&self, written: bool, now: Time) -> Option<ClientId> {
        let due = |peer: &Peer| peer.hang_up.is_some_and(|until| written || until <= now);
        self.peers.iter().find(|(_, peer)| due(peer)).map(|(id, _)| *id)
    }

    /// What they have sent goes on being written.
    pub(crate) fn prolong_hang_up(&mut self, until: Time) {
        self.peers.values_mut().filter(|peer| peer.hang_up.is_some()).for_each(|peer| {
            peer.hang_up = Some(until);
        });
    }

    /// Whether there are some that are not read at present.
    pub(crate) fn some_unread(&self) -> bool {
        self.peers.values().any(|peer| !peer.may_read())
    }

    /// Those of them whose connection has broken; if the line is `stuck`, also those that have sent
    /// their last byte.
    pub(crate) fn unread(&self, stuck: bool) -> impl Iterator<Item = ClientId> {
        let unread = self.peers.iter().filter(|(_, peer)| !peer.may_read());
        let gone = move |peer: &Peer| peer.stream.is_broken() || (stuck && peer.stream.has_ended());
        unread.filter(move |(_, peer)| gone(peer)).map(|(id, _)| *id)
    }

    /// When the time of the next of them is over.
    pub(crate) fn hang_up_at(&self) -> Option<Time> {
        earliest(self.peers.values().map(|peer| peer.hang_up))
    }

    /// All of them, in order of coming.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    /// Asks which clients that speak bytes may be read.
    pub(crate) fn set_wanted(&mut self, wanted: impl Fn(ClientId) -> bool) {
        for (id, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.speaks_bytes()) {
            peer.wanted = wanted(*id);
        }
    }

    /// The client after `id`, in order of coming; `None` begins.
    pub(crate) fn after(&self, id: Option<ClientId>) -> Option<ClientId> {
        let from = id.map_or(0, |id| id + 1);
        self.peers.range(from..).next().map(|(id, _)| *id)
    }

    /// Waits until some sockets are worth looking at; [`Peers::take_ready`] says which.
    pub(crate) async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready.clear();
        for (id, peer) in &self.peers {
            if peer.poll_ready(cx).is_ready() {
                self.ready.push(*id);
            }
        }
        if self.ready.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Those found by [`Peers::ready`].
    pub(crate) fn take_ready(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.ready)
    }
}

impl Peer {
    /// `inbox` is what the listener has read of it.
    pub(crate) fn new(
        stream: Stream,
        address: Address,
        kind: ClientKind,
        inbox: BytesMut,
        since: Time,
    ) -> Self {
        Self {
            stream,
            address,
            kind,
            since,
            wanted: true,
            received: inbox.len() as u64,
            sent: 0,
            inbox,
            outbox: BytesMut::new(),
            more: true,
            deaf: false,
            hang_up: None,
            finishing: false,
            finished: false,
            urgent_told: false,
            permit: None,
        }
    }

    /// With its place among the connections from its address.
    pub(crate) fn with(mut self, permit: Option<Permit>) -> Self {
        self.permit = permit;
        self
    }

    /// For the log.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether bytes may lie in its socket that woke nobody: behind TCP urgent data, which nobody
    /// sends on purpose to a raw port. Asked now and then, since asking costs a call.
    pub(crate) fn may_be_urgent(&self) -> bool {
        self.kind == ClientKind::Raw && self.may_read() && self.stream.is_urgent()
    }

    /// What it speaks.
    pub(crate) fn kind(&self) -> ClientKind {
        self.kind
    }

    /// When it came, and the bytes that were read from it and sent to it.
    pub(crate) fn traffic(&self) -> (Time, u64, u64) {
        (self.since, self.received, self.sent)
    }

    /// Whether it speaks bytes and not frames.
    pub(crate) fn speaks_bytes(&self) -> bool {
        matches!(self.kind, ClientKind::Raw | ClientKind::Telnet)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        // An error is found again, and dealt with, by the read or write that follows.
        if self.may_read() && self.stream.poll_read_ready(cx).is_ready() {
            ready = Poll::Ready(());
        }
        if self.more && self.may_read() {
            ready = Poll::Ready(());
        }
        if !self.outbox.is_empty() && self.stream.poll_write_ready(cx).is_ready() {
            ready = Poll::Ready(());
        }
        ready
    }

    /// Whether its socket is to be read: always, but TCP holds back what a client that speaks bytes
    /// sends too fast.
    pub(crate) fn may_read(&self) -> bool {
        self.hang_up.is_none() && (self.wanted || self.finishing)
    }

    /// It may stop reading for as long as it likes, as long as its system still answers.
    pub(crate) fn wait_for_ever(&self) -> io::Result<()> {
        self.stream.wait_for_ever()
    }

    /// It has sent its last byte; it is closed when that is written, or after `until`.
    pub(crate) fn hang_up_later(&mut self, until: Time) {
        self.hang_up = Some(until);
    }

    /// Whether there is more to look at than was looked at.
    pub(crate) fn set_more(&mut self, more: bool) {
        self.more = more;
    }

    /// The next thing it has sent. Never waits, and reads at most once. `Found::Idle` means that
    /// the reactor knows of nothing more.
    pub(crate) fn look(&mut self) -> Found {
        if let Some(found) = self.decode() {
            return found;
        }
        if self.kind == ClientKind::Telnet && self.stream.is_urgent() && !self.urgent_told {
            self.urgent_told = true;
            return Found::Urgent;
        }
        self.urgent_told = false;
        // Through the stack, so that an idle client keeps no buffer.
        let mut buf = [MaybeUninit::uninit(); READ];
        let mut buf = ReadBuf::uninit(&mut buf);
        let read = self.stream.try_read(&mut buf);
        // A read stops short before urgent data, and what follows it wakes nobody. Telnet lives with
        // it; a raw client that sends such a thing is looked after by [`Peer::may_be_urgent`].
        if read.is_err() && self.kind == ClientKind::Telnet && self.stream.is_urgent() {
            return self.look_hard_for_more();
        }
        if !self.deaf {
            self.inbox.extend_from_slice(buf.filled());
        }
        self.found(read)
    }

    fn look_hard_for_more(&mut self) -> Found {
        let start = self.inbox.len();
        self.inbox.resize(start + READ, 0);
        let read = self.stream.read_hard(&mut self.inbox[start..]);
        self.inbox.truncate(start + read.as_ref().map_or(0, |count| *count));
        self.found(read)
    }

    /// As [`Peer::look`], but `Found::Idle` means that the kernel has nothing more. The reactor
    /// learns late of what came while this process was stopped or busy; a lease must not run out
    /// for that.
    pub(crate) fn look_hard(&mut self) -> Found {
        match self.look() {
            Found::Idle => self.look_hard_for_more(),
            found => found,
        }
    }

    /// As [`Peer::look_hard`], but `Found::Idle` as well when `until` bytes were received, whole
    /// frames among them were handed out, and the connection goes on: one that never stops
    /// sending is not looked at for ever.
    pub(crate) fn look_until(&mut self, until: u64) -> Found {
        if self.received < until {
            return self.look_hard();
        }
        self.decode().unwrap_or(Found::Idle)
    }

    /// What it will have received when all that may lie in its socket now has been read.
    pub(crate) fn most_received(&self) -> u64 {
        // The kernel counts what it keeps at least at its length. Where it does not tell its
        // bound, the largest one that Linux sets by itself stands in.
        let most = self.stream.recv_buffer_size().unwrap_or(MOST_UNREAD);
        self.received + most as u64
    }

    fn found(&mut self, read: io::Result<usize>) -> Found {
        match read {
            Ok(0) => Found::Closed,
            Ok(count) => {
                self.received += count as u64;
                self.decode().unwrap_or(Found::Part)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.inbox.is_empty() {
                    self.inbox = BytesMut::new();
                }
                Found::Idle
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Found::Part,
            Err(_) => Found::Closed,
        }
    }

    fn decode(&mut self) -> Option<Found> {
        if self.deaf {
            self.inbox.clear();
            return None;
        }
        if self.speaks_bytes() {
            let bytes = self.inbox.split().freeze();
            return (!bytes.is_empty()).then_some(Found::Bytes(bytes));
        }
        match FrameCodec.decode(&mut self.inbox) {
            Ok(frame) => frame.map(Found::Frame),
            Err(CodecError::Decode(error)) => {
                self.deaf = true;
                Some(Found::Bad(error))
            }
            // Decoding from memory moves no bytes that could fail to move.
            Err(CodecError::Io(_)) => None,
        }
    }
}

impl Peer {
    /// Whether more is to be put into the outbox. Control frames overtake input only while they
    /// are still in the core, so little is taken out of it ahead of time.
    pub(crate) fn has_room(&self) -> bool {
        !self.finished && self.outbox.len() < SEND_LOW
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        frame.encode(&mut self.outbox);
    }

    /// Where bytes for it are appended.
    pub(crate) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    /// What the core still has for it is the last; then the sending side is closed.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Of a client that has only to be written to the end of, sending is given up. Whether it is one.
    pub(crate) fn stop_sending(&mut self) -> bool {
        self.finished |= self.hang_up.is_some();
        if self.finished {
            self.outbox = BytesMut::new();
        }
        self.hang_up.is_some()
    }

    /// Whether all that was queued has been handed to the system.
    pub(crate) fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Sends what the socket takes. Never waits. After an error the connection is of no use.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(count) => {
                    self.sent += count as u64;
                    self.outbox.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // An idle client keeps no buffer.
        self.outbox = BytesMut::new();
        Ok(())
    }

    /// Closes the sending side if it is time: the core has nothing more for it. What it still
    /// sends goes on being read, since closing a socket with unread bytes in it destroys what was
    /// sent on it last.
    pub(crate) fn close_sending(&mut self) -> io::Result<()> {
        if self.finishing && !self.finished && self.outbox.is_empty() {
            self.finished = true;
            self.stream.close_sending()?;
        }
        Ok(())
    }
}

/// One read's worth: a frame of the longest kind, or some of what a loopback sender sends.
const READ: usize = 16 * 1024;
/// The default of the third number of `net.ipv4.tcp_rmem`.
const MOST_UNREAD: usize = 6 * 1024 * 1024;
/// Half of the input window: a wake-up's worth of sending, and little for a REVOKED to wait behind.
const SEND_LOW: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Peer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, address) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::TcpStream::from_std(ours).unwrap();
        // The reactor has looked once, and found nothing.
        ours.writable().await.unwrap();
        tokio::task::yield_now().await;
        let kind = ClientKind::Line { nonce: wire::Nonce::default() };
        let address = Address::Tcp(address);
        (Peer::new(Stream::Tcp(ours), address, kind, BytesMut::new(), Time::ZERO), theirs)
    }

    fn renew() -> BytesMut {
        let mut bytes = BytesMut::new();
        Frame::Renew(1).encode(&mut bytes);
        bytes
    }

    #[tokio::test]
    async fn a_hard_look_finds_what_the_reactor_does_not_know_of() {
        let (mut peer, mut theirs) = pair().await;
        assert!(matches!(peer.look(), Found::Idle));
        theirs.write_all(&renew()).unwrap();
        assert!(matches!(peer.look(), Found::Idle), "the reactor has had no turn");
        assert!(matches!(peer.look_hard(), Found::Frame(Frame::Renew(1))));
        assert!(matches!(peer.look_hard(), Found::Idle));
        drop(theirs);
        assert!(matches!(peer.look_hard(), Found::Closed));
    }

    #[tokio::test]
    async fn a_look_has_an_end_though_the_sender_has_none() {
        let (mut peer, mut theirs) = pair().await;
        for _ in 0..3 {
            theirs.write_all(&renew()).unwrap();
        }
        let until = peer.most_received();
        let mut looks = 0;
        while !matches!(peer.look_until(until), Found::Idle) {
            theirs.write_all(&renew()).unwrap();
            looks += 1;
            assert!(looks <= MOST_UNREAD, "it never ends");
        }
        assert!(looks >= 3, "what lay there first was looked at");
        drop(theirs);
        while !matches!(peer.look_hard(), Found::Closed) {}
    }

    #[tokio::test]
    async fn frames_come_whole_however_they_were_cut() {
        let (mut peer, mut theirs) = pair().await;
        for byte in renew() {
            assert!(matches!(peer.look_hard(), Found::Idle));
            theirs.write_all(&[byte]).unwrap();
            let found = peer.look_hard();
            assert!(matches!(found, Found::Part | Found::Frame(Frame::Renew(1))), "{found:?}");
        }
        theirs.write_all(&[renew(), renew()].concat()).unwrap();
        for _ in 0..2 {
            assert!(matches!(peer.look_hard(), Found::Frame(Frame::Renew(1))));
        }
    }

    #[tokio::test]
    async fn what_follows_a_bad_frame_is_read_and_forgotten() {
        let (mut peer, mut theirs) = pair().await;
        theirs.write_all(&[0xff; 100]).unwrap();
        assert!(matches!(peer.look_hard(), Found::Bad(_)));
        theirs.write_all(&renew()).unwrap();
        assert!(matches!(peer.look_hard(), Found::Part));
        assert!(matches!(peer.look_hard(), Found::Idle));
        assert!(peer.inbox.is_empty());
    }
}
