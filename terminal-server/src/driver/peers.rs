//! The sockets of one line's clients, owned by the line's own loop.
//!
//! They are no tasks of their own, because the line must be able to read one of them to its end in
//! the middle of a decision: whether a claimant still lives, whether a renewal lies unread.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;
use wire::codec::CodecError;
use wire::frame::MAX_FRAME;
use wire::{DecodeError, Frame, FrameCodec};

use super::gate::Permit;
use crate::core::ClientId;

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
    stream: TcpStream,
    address: SocketAddr,
    raw: bool,
    /// Received, not decoded yet: less than a frame and a read.
    inbox: BytesMut,
    /// Bytes read from the socket by this loop.
    received: u64,
    /// Encoded, not sent yet: not filled further above [`SEND_LOW`].
    outbox: BytesMut,
    /// There is more to look at than one turn's worth, perhaps in the inbox already.
    more: bool,
    /// What it sends is no protocol any more; it is read and forgotten.
    deaf: bool,
    /// A raw client has sent its last byte, and that byte is not written yet.
    hang_up: bool,
    /// Nothing will be added to the outbox; then the sending side is closed.
    finishing: bool,
    finished: bool,
    /// Its place among the connections from its address.
    _permit: Permit,
}

/// What a look at a socket found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A frame.
    Frame(Frame),
    /// Bytes of a raw client.
    Raw(Bytes),
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

    /// A raw client that waits for its last byte to be written.
    pub(crate) fn to_hang_up(&self) -> Option<ClientId> {
        self.peers.iter().find(|(_, peer)| peer.hang_up).map(|(id, _)| *id)
    }

    /// The client after `id`, in order of coming; `None` begins.
    pub(crate) fn after(&self, id: Option<ClientId>) -> Option<ClientId> {
        let from = id.map_or(0, |id| id + 1);
        self.peers.range(from..).next().map(|(id, _)| *id)
    }

    /// Waits until some sockets are worth looking at; [`Peers::take_ready`] says which. `raw`:
    /// whether raw clients may send.
    pub(crate) async fn ready(&mut self, raw: bool) {
        std::future::poll_fn(|cx| self.poll_ready(raw, cx)).await;
    }

    fn poll_ready(&mut self, raw: bool, cx: &mut Context<'_>) -> Poll<()> {
        self.ready.clear();
        for (id, peer) in &self.peers {
            if peer.poll_ready(raw, cx).is_ready() {
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
        stream: TcpStream,
        address: SocketAddr,
        raw: bool,
        inbox: BytesMut,
        permit: Permit,
    ) -> Self {
        Self {
            stream,
            address,
            raw,
            inbox,
            received: 0,
            outbox: BytesMut::new(),
            more: true,
            deaf: false,
            hang_up: false,
            finishing: false,
            finished: false,
            _permit: permit,
        }
    }

    /// For the log.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }

    fn poll_ready(&self, raw: bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        // An error is found again, and dealt with, by the read or write that follows.
        if self.may_read(raw) && self.stream.poll_read_ready(cx).is_ready() {
            ready = Poll::Ready(());
        }
        if self.more && self.may_read(raw) {
            ready = Poll::Ready(());
        }
        if !self.outbox.is_empty() && self.stream.poll_write_ready(cx).is_ready() {
            ready = Poll::Ready(());
        }
        ready
    }

    /// Whether its socket is to be read: always, but TCP holds back what a raw client sends too
    /// fast.
    pub(crate) fn may_read(&self, raw: bool) -> bool {
        !self.hang_up && (raw || !self.raw || self.finishing)
    }

    /// It has sent its last byte; it is closed when that is written.
    pub(crate) fn hang_up_later(&mut self) {
        self.hang_up = true;
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
        self.inbox.reserve(READ);
        let read = self.stream.try_read_buf(&mut self.inbox);
        self.found(read)
    }

    /// As [`Peer::look`], but `Found::Idle` means that the kernel has nothing more. The reactor
    /// learns late of what came while this process was stopped or busy; a lease must not run out
    /// for that.
    pub(crate) fn look_hard(&mut self) -> Found {
        match self.look() {
            Found::Idle => {
                let start = self.inbox.len();
                self.inbox.resize(start + READ, 0);
                let read = (&*SockRef::from(&self.stream)).read(&mut self.inbox[start..]);
                self.inbox.truncate(start + read.as_ref().map_or(0, |count| *count));
                self.found(read)
            }
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
        let most = SockRef::from(&self.stream).recv_buffer_size().unwrap_or(MOST_UNREAD);
        self.received + most as u64
    }

    fn found(&mut self, read: io::Result<usize>) -> Found {
        match read {
            Ok(0) => Found::Closed,
            Ok(count) => {
                self.received += count as u64;
                self.decode().unwrap_or(Found::Part)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Found::Idle,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Found::Part,
            Err(_) => Found::Closed,
        }
    }

    fn decode(&mut self) -> Option<Found> {
        if self.deaf {
            self.inbox.clear();
            return None;
        }
        if self.raw {
            let bytes = self.inbox.split().freeze();
            return (!bytes.is_empty()).then_some(Found::Raw(bytes));
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

    pub(crate) fn push_raw(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// What the core still has for it is the last; then the sending side is closed.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Whether all that was queued has been handed to the system.
    pub(crate) fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Sends what the socket takes. Never waits. After an error the connection is of no use.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(count) => self.outbox.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes the sending side if it is time: the core has nothing more for it. What it still
    /// sends goes on being read, since closing a socket with unread bytes in it destroys what was
    /// sent on it last.
    pub(crate) fn close_sending(&mut self) -> io::Result<()> {
        if self.finishing && !self.finished && self.outbox.is_empty() {
            self.finished = true;
            SockRef::from(&self.stream).shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// One read's worth: a frame of the longest kind.
const READ: usize = MAX_FRAME + 2;
/// The default of the third number of `net.ipv4.tcp_rmem`.
const MOST_UNREAD: usize = 6 * 1024 * 1024;
/// Half of the input window: a wake-up's worth of sending, and little for a REVOKED to wait behind.
const SEND_LOW: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use std::sync::Arc;

    use super::*;
    use crate::driver::gate::Gate;

    async fn pair() -> (Peer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, address) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::TcpStream::from_std(ours).unwrap();
        // The reactor has looked once, and found nothing.
        ours.writable().await.unwrap();
        tokio::task::yield_now().await;
        let permit = Arc::new(Gate::new(1)).admit(address.ip()).unwrap();
        (Peer::new(ours, address, false, BytesMut::new(), permit), theirs)
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
