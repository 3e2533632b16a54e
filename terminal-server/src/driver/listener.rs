//! Accepts connections and finds out which line each of them is for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use rand::TryRng;
use rand::rngs::SysRng;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use wire::frame::MAX_FRAME;
use wire::{ErrorCode, Frame, FrameCodec, Name, Nonce};

use super::gate::{Gate, Permit, Refusal};
use super::network::Network;
use super::options::{Limits, Speech};
use super::policies::Keepalive;
use super::report::ListenerReport;
use super::stream::{Address, Stream};
use crate::core::ClientKind;

/// A connection for a line.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) address: Address,
    pub(crate) kind: ClientKind,
    /// What was read of it already: of the line protocol at least its first frame, undecoded.
    pub(crate) inbox: BytesMut,
    pub(crate) permit: Option<Permit>,
}

/// One listening socket, or one that cannot be had yet.
#[derive(Debug)]
pub(crate) struct Listener {
    speech: Speech,
    /// What was asked for; port 0 is any.
    wanted: SocketAddr,
    gate: Arc<Gate>,
    limits: Limits,
    behind: Mutex<Behind>,
}

/// What may change while it listens.
#[derive(Debug, Default)]
struct Behind {
    allow: Vec<Network>,
    /// The first one answers those who ask for none of them.
    lines: BTreeMap<Name, Route>,
    /// The address, or why there is none yet.
    bound: Option<Result<SocketAddr, String>>,
}

/// The way to a line.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) arrive: mpsc::Sender<Arrival>,
    pub(crate) keepalive: Keepalive,
    pub(crate) user_timeout: Duration,
}

impl Listener {
    pub(crate) fn new(
        (speech, wanted): (Speech, SocketAddr),
        gate: Arc<Gate>,
        limits: Limits,
    ) -> Self {
        Self { speech, wanted, gate, limits, behind: Mutex::default() }
    }

    /// Who may connect from now on. Those who are connected stay.
    pub(crate) fn allow(&self, allow: Vec<Network>) {
        self.behind().allow = allow;
    }

    /// A line behind it; its clients come this way from now on.
    pub(crate) fn route(&self, line: Name, route: Route) {
        self.behind().lines.insert(line, route);
    }

    /// A line that is not behind it any more.
    pub(crate) fn unroute(&self, line: &Name) {
        self.behind().lines.remove(line);
    }

    /// Where it listens, if it does.
    pub(crate) fn bound(&self) -> Option<SocketAddr> {
        self.behind().bound.clone()?.ok()
    }

    pub(crate) fn report(&self) -> ListenerReport {
        let behind = self.behind();
        let (bound, error) = match &behind.bound {
            Some(Ok(address)) => (Some(address.to_string()), None),
            Some(Err(error)) => (None, Some(error.clone())),
            None => (None, None),
        };
        ListenerReport {
            speech: self.speech.word().to_owned(),
            address: bound.unwrap_or_else(|| self.wanted.to_string()),
            error,
            lines: behind.lines.len(),
        }
    }

    /// Tells how the system answered.
    pub(crate) fn set_bound(&self, bound: &io::Result<TcpListener>) {
        let bound = match bound {
            Ok(socket) => socket.local_addr().map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.behind().bound = Some(bound);
    }

    /// Accepts until `stop`. Without a socket, tries for one as long as it takes.
    pub(crate) async fn run(self: Arc<Self>, socket: Option<TcpListener>, stop: CancellationToken) {
        let socket = match socket {
            Some(socket) => socket,
            None => tokio::select! {
                biased;
                () = stop.cancelled() => return,
                socket = self.bind_at_last() => socket,
            },
        };
        let (speech, listen) = (self.speech.word(), self.bound().map(tracing::field::display));
        tracing::info!(speech, listen, "listening");
        self.accept(socket, stop).await;
    }

    async fn bind_at_last(&self) -> TcpListener {
        let mut pause = BIND_FIRST;
        loop {
            tokio::time::sleep(pause).await;
            let bound = listen(self.wanted);
            self.set_bound(&bound);
            match bound {
                Ok(socket) => return socket,
                Err(error) => {
                    tracing::debug!(address = %self.wanted, %error, "cannot listen yet");
                    pause = (pause * 2).min(BIND_LONGEST);
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let mut handshakes = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        let mut pause = PAUSE_FIRST;
        loop {
            tokio::select! {
                // Nobody is let in any more once it is time to stop.
                biased;
                () = stop.cancelled() => return,
                Some(_) = handshakes.join_next() => {}
                accepted = socket.accept() => match accepted {
                    Ok((stream, address)) => {
                        pause = PAUSE_FIRST;
                        let Some(permit) = self.admit(address) else { continue };
                        self.make_room(&handshakes, &mut oldest);
                        let listener = self.clone();
                        let handshake =
                            async move { listener.receive(stream, address, permit).await };
                        oldest.push_back(handshakes.spawn(handshake));
                    }
                    Err(error) if of_the_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, ?pause, "failed to accept a connection");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSE_LONGEST);
                    }
                },
            }
        }
    }

    /// The first questions: whence, and how many from there.
    fn admit(&self, address: SocketAddr) -> Option<Permit> {
        let from = address.ip().to_canonical();
        let behind = self.behind();
        if !behind.allow.is_empty() && !behind.allow.iter().any(|network| network.contains(from)) {
            self.refuse(Refusal::Forbidden, address);
            return None;
        }
        let permit = self.gate.admit(from);
        if permit.is_none() {
            self.refuse(Refusal::Crowding, address);
        }
        permit
    }

    fn refuse(&self, refusal: Refusal, address: SocketAddr) {
        self.gate.count(refusal);
        tracing::debug!(peer = %address, cause = ?refusal, "turned away");
    }

    /// Somebody who connects and says nothing keeps nobody out: the oldest one goes.
    fn make_room(&self, handshakes: &JoinSet<()>, oldest: &mut VecDeque<AbortHandle>) {
        oldest.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= self.limits.handshakes
            && let Some(handshake) = oldest.pop_front()
        {
            self.gate.count(Refusal::Crowded);
            handshake.abort();
        }
    }

    async fn receive(&self, stream: TcpStream, address: SocketAddr, permit: Permit) {
        let mut inbox = BytesMut::new();
        let mut line = None;
        if self.speech == Speech::Line {
            let first = first_frame(&stream, &mut inbox);
            match tokio::time::timeout(self.limits.handshake_time, first).await {
                Ok(Ok(name)) => line = name,
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "closed before its first frame");
                    return;
                }
                Err(_) => return self.too_slow(&stream, address),
            }
        }
        let Some(route) = self.way(line.as_ref()) else {
            return self.refuse(Refusal::NoLine, address);
        };
        if let Err(error) = prepare(&stream, &route) {
            tracing::debug!(%address, %error, "failed to set up a connection");
            return;
        }
        let kind = match self.kind() {
            Ok(kind) => kind,
            Err(error) => {
                tracing::error!(%error, "failed to draw a nonce; the connection is closed");
                return;
            }
        };
        let (stream, client) = (Stream::Tcp(stream), Address::Tcp(address));
        let arrival = Arrival { stream, address: client, kind, inbox, permit: Some(permit) };
        // If the line is gone the connection is closed by being dropped.
        if route.arrive.send(arrival).await.is_err() {
            self.refuse(Refusal::NoLine, address);
        }
    }

    /// To the line that was asked for; else to any, which will say that it is another.
    fn way(&self, line: Option<&Name>) -> Option<Route> {
        let behind = self.behind();
        let asked = line.and_then(|line| behind.lines.get(line));
        asked.or_else(|| behind.lines.values().next()).cloned()
    }

    /// What the line will see in a client of this listener.
    fn kind(&self) -> Result<ClientKind, rand::rngs::SysError> {
        match self.speech {
            Speech::Line => Ok(ClientKind::Line { nonce: nonce()? }),
            Speech::Raw => Ok(ClientKind::Raw),
            Speech::Telnet => Ok(ClientKind::Telnet),
        }
    }

    fn too_slow(&self, stream: &TcpStream, address: SocketAddr) {
        self.gate.count(Refusal::Silent);
        tracing::info!(peer = %address, "slow");
        let mut frame = BytesMut::new();
        Frame::Error(ErrorCode::Slow, "no frame in time".to_owned()).encode(&mut frame);
        // A courtesy; a socket that cannot take so little is not waited for.
        let _ = stream.try_write(&frame);
    }

    fn behind(&self) -> MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the port without letting anybody in: connections are refused until it listens.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the last process that are not quite over must not keep the next one out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Lets clients connect.
pub(crate) fn open(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Both.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address).and_then(open)
}

/// Reads until the first frame is there and leaves it in `inbox`. The line, if it is a HELLO; what
/// else it is, a line shall judge.
async fn first_frame(stream: &TcpStream, inbox: &mut BytesMut) -> io::Result<Option<Name>> {
    loop {
        if let Some((len, _)) = inbox.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            if len > MAX_FRAME || inbox.len() >= 2 + len {
                return Ok(match FrameCodec.decode(&mut inbox.clone()) {
                    Ok(Some(Frame::Hello(hello))) => Some(hello.line),
                    _ => None,
                });
            }
        }
        stream.readable().await?;
        inbox.reserve(MAX_FRAME + 2);
        match stream.try_read_buf(inbox) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

fn prepare(stream: &TcpStream, route: &Route) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // An urgent byte is one of the stream: telnet's data mark, and on a raw port data like all.
    SockRef::from(stream).set_out_of_band_inline(true)?;
    // For those who hold no lease: a raw client that vanished would own the line for ever.
    let Keepalive { idle, interval, probes } = route.keepalive;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive.with_retries(probes))?;
    socket.set_tcp_user_timeout(Some(route.user_timeout))
}

fn nonce() -> Result<Nonce, rand::rngs::SysError> {
    let mut nonce = Nonce::default();
    SysRng.try_fill_bytes(&mut nonce.0)?;
    Ok(nonce)
}

/// An error of accept(2) that is the connection's and not the socket's.
fn of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Connections that the kernel may keep before they are accepted: a crowd of a thousand at once.
const BACKLOG: u32 = 1024;
/// An address that is in use is often free in a moment, as at a restart.
const BIND_FIRST: Duration = Duration::from_millis(250);
/// An interface that comes up is used within this.
const BIND_LONGEST: Duration = Duration::from_secs(5);
/// After a failed accept, usually for want of file descriptors.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Long enough not to fill the log, short enough to be back soon.
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
