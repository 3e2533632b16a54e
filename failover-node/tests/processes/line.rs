//! A line as a node sees it: a listener that grants whatever is claimed with the right key, and
//! writes down what it is sent. It keeps no rules; the terminal server's own tests do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;
use wire::frame::MAX_INPUT;
use wire::handshake::{Transcript, sign_grant};
use wire::{Epoch, Frame, FrameCodec, Grant, Input, Key, LastFrame, Nonce, Welcome};

use crate::support::{LONG, pause};

/// The listener's address, and what it has seen.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    seen: Receiver<Seen>,
}

/// What a line has seen.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    /// It has granted a claim.
    Granted,
    /// A frame of the holder, other than RENEW.
    Frame(Frame),
    /// The end of the connection.
    Closed,
}

impl Line {
    /// Listens; every holder gets `input`, from offset 0, which stays unacknowledged for ever.
    pub(crate) fn start(key: Key, input: &'static [u8]) -> Self {
        Self::start_slow(key, input, Duration::ZERO)
    }

    /// As [`Self::start`], and it takes so long before it answers anybody.
    pub(crate) fn start_slow(key: Key, input: &'static [u8], delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, seen) = channel();
        thread::spawn(move || {
            for (count, stream) in (1..).zip(listener.incoming()) {
                // An attempt that was given up is no matter, a story that has ended ends this.
                pause(delay);
                let served = stream.map(|stream| serve(stream, &key, count, input, &send));
                if send.send(Seen::Closed).is_err() || served.is_err() {
                    return;
                }
            }
        });
        Self { address, seen }
    }

    /// What is seen within `span`, to the first silence of that length.
    pub(crate) fn seen_within(&self, span: Duration) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.recv_timeout(span).ok()).collect()
    }

    /// The next thing seen.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.recv_timeout(LONG).expect("something is seen in time")
    }
}

fn serve(
    mut stream: TcpStream,
    key: &Key,
    count: u32,
    input: &'static [u8],
    seen: &Sender<Seen>,
) -> Option<()> {
    let mut inbox = BytesMut::new();
    let end = input.len() as u64;
    admit(&mut stream, &mut inbox, key, count, Stand { acked: 0, end, note: Bytes::new() })?;
    seen.send(Seen::Granted).ok()?;
    for (offset, bytes) in (0..).step_by(MAX_INPUT).zip(input.chunks(MAX_INPUT)) {
        send(&mut stream, &Frame::Input(Input { offset, bytes: Bytes::from_static(bytes) }))?;
    }
    loop {
        match receive(&mut stream, &mut inbox)? {
            Frame::Renew(n) => send(&mut stream, &Frame::Renewed(n))?,
            frame => {
                let over = matches!(frame, Frame::Release(_));
                seen.send(Seen::Frame(frame)).ok()?;
                if over {
                    return Some(());
                }
            }
        }
    }
}

/// How a line stands when it is granted.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    pub(crate) acked: u64,
    pub(crate) end: u64,
    pub(crate) note: Bytes,
}

/// Grants the line to whoever claims it with the right key.
pub(crate) fn admit(
    stream: &mut TcpStream,
    inbox: &mut BytesMut,
    key: &Key,
    count: u32,
    Stand { acked, end, note }: Stand,
) -> Option<()> {
    let Frame::Hello(hello) = receive(stream, inbox)? else { panic!("no HELLO") };
    let welcome =
        Welcome { version: 1, nonce: Nonce([count as u8; 16]), server: "test".parse().unwrap() };
    send(stream, &Frame::Welcome(welcome.clone()))?;
    let Frame::Claim(claim) = receive(stream, inbox)? else { panic!("no CLAIM") };
    assert!(Transcript::new(&hello, &welcome).verify_claim(key, &claim));
    let grant = Grant {
        epoch: Epoch::new(7, count),
        lease_ms: claim.lease_ms,
        incarnation: 1,
        acked,
        delivered: acked,
        end,
        position: 0,
        last: LastFrame::default(),
        note,
        mac: [0; 32],
    };
    send(stream, &Frame::Grant(sign_grant(key, &claim.mac, grant)))
}

pub(crate) fn send(stream: &mut TcpStream, frame: &Frame) -> Option<()> {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    stream.write_all(&bytes).ok()
}

fn receive(stream: &mut TcpStream, inbox: &mut BytesMut) -> Option<Frame> {
    loop {
        if let Some(frame) = FrameCodec.decode(inbox).unwrap() {
            return Some(frame);
        }
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        inbox.extend_from_slice(&chunk[..n]);
    }
}
