//! Accepts connections and finds out which line each of them is for.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rand::TryRng;
use rand::rngs::SysRng;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use wire::frame::MAX_FRAME;
use wire::{ErrorCode, Frame, FrameCodec, Name, Nonce};

use crate::core::ClientKind;
use crate::core::config::HANDSHAKE;

/// A connection for a line.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) kind: ClientKind,
    /// What was read of it already: of the line protocol at least its first frame, undecoded.
    pub(crate) inbox: BytesMut,
}

/// What became of connections that never reached a line.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Said nothing, or too little, in time.
    pub(crate) slow: AtomicU64,
    /// Gave way to newer ones because too many were silent.
    pub(crate) crowded: AtomicU64,
}

/// What speaks behind a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Line,
    Raw,
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) speech: Speech,
    /// The lines behind it. The first one answers those who ask for none of them.
    pub(crate) lines: Vec<(Name, mpsc::Sender<Arrival>)>,
    pub(crate) counters: Arc<Counters>,
}

impl Listener {
    /// Accepts until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let listener = Arc::new(self);
        let mut handshakes = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        let mut pause = PAUSE_FIRST;
        loop {
            tokio::select! {
                // Nobody is let in any more once it is time to stop.
                biased;
                () = shutdown.cancelled() => return,
                Some(_) = handshakes.join_next() => {}
                accepted = listener.socket.accept() => match accepted {
                    Ok((stream, address)) => {
                        pause = PAUSE_FIRST;
                        listener.make_room(&handshakes, &mut oldest);
                        let listener = listener.clone();
                        let handshake = async move { listener.receive(stream, address).await };
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

    /// Somebody who connects and says nothing keeps nobody out: the oldest one goes.
    fn make_room(&self, handshakes: &JoinSet<()>, oldest: &mut VecDeque<AbortHandle>) {
        oldest.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= MAX_HANDSHAKES
            && let Some(handshake) = oldest.pop_front()
        {
            self.counters.crowded.fetch_add(1, Ordering::Relaxed);
            handshake.abort();
        }
    }

    async fn receive(&self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%address, %error, "failed to set up a connection");
            return;
        }
        let kind = match (self.speech, nonce()) {
            (Speech::Raw, _) => ClientKind::Raw,
            (Speech::Line, Ok(nonce)) => ClientKind::Line { nonce },
            (Speech::Line, Err(error)) => {
                tracing::error!(%error, "failed to draw a nonce; the connection is closed");
                return;
            }
        };
        let mut inbox = BytesMut::new();
        let mut line = 0;
        if self.speech == Speech::Line {
            match tokio::time::timeout(HANDSHAKE, first_frame(&stream, &mut inbox)).await {
                Ok(Ok(name)) => {
                    let found = name.and_then(|n| self.lines.iter().position(|(l, _)| *l == n));
                    line = found.unwrap_or(0);
                }
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "closed before its first frame");
                    return;
                }
                Err(_) => return self.too_slow(&stream, address),
            }
        }
        // If the line is gone the connection is closed by being dropped.
        let _ = self.lines[line].1.send(Arrival { stream, address, kind, inbox }).await;
    }

    fn too_slow(&self, stream: &TcpStream, address: SocketAddr) {
        self.counters.slow.fetch_add(1, Ordering::Relaxed);
        tracing::info!(peer = %address, "slow");
        let mut frame = BytesMut::new();
        Frame::Error(ErrorCode::Slow, "no frame in time".to_owned()).encode(&mut frame);
        // A courtesy; a socket that cannot take so little is not waited for.
        let _ = stream.try_write(&frame);
    }
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Only for those who hold no lease: a raw client that vanished would own the line for ever.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_AGAIN);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
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

/// Connections that have not said their first frame yet; a group's nodes need one or two each.
const MAX_HANDSHAKES: usize = 128;
/// After a failed accept, usually for want of file descriptors.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Long enough not to fill the log, short enough to be back soon.
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
/// A silent connection is asked after this long.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// And again.
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(10);
