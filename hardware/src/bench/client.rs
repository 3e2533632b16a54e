//! The bench's clients: of plain bytes, and of the line protocol.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::BytesMut;
use rustix::event::PollFlags;
use sys::boottime;
use tokio_util::codec::Decoder;
use wire::frame::{VERSION, VERSION_MIN};
use wire::handshake::{Transcript, verify_grant};
use wire::{BootId, Claim, Epoch, Frame, FrameCodec, Grant, Hello, Input, Key, Nonce, Output};

use super::contender::{GROUP, LINE};
use super::device::{Device, PATIENCE, late, read_some, ready, write_all};
use crate::error::{Doing, LabError, Result};

/// Connects as a client that wants every byte at once.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).doing(|| format!("connect to {address}"))?;
    stream.set_nodelay(true).doing(|| "set up a connection".to_owned())?;
    stream.set_read_timeout(Some(PATIENCE)).doing(|| "set up a connection".to_owned())?;
    Ok(stream)
}

/// A raw client that certainly has the line: a byte went each way.
pub(crate) fn connect_and_meet(address: SocketAddr, device: &Device) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(&[HERE]).doing(|| "write to a connection".to_owned())?;
    let mut byte = [0];
    let begun = boottime();
    while byte != [HERE] {
        if read_some(device.as_fd(), &mut byte, PATIENCE)? == 0 || boottime() - begun > PATIENCE {
            return Err(late("a client's first byte"));
        }
    }
    write_all(device.as_fd(), &[THERE])?;
    while byte != [THERE] {
        stream.read_exact(&mut byte).doing(|| format!("read from {address}"))?;
    }
    Ok(stream)
}

/// A holder by the line protocol.
#[derive(Debug)]
pub(crate) struct Holder {
    stream: TcpStream,
    inbox: BytesMut,
    pub(crate) grant: Grant,
    position: u64,
    renewed: Duration,
    /// Input that was seen and not taken yet.
    next: Option<Input>,
}

impl Holder {
    /// Claims the line until it is granted.
    pub(crate) fn claim(address: SocketAddr, key: &Key, node: &str, draw: u64) -> Result<Self> {
        let begun = boottime();
        loop {
            let connected = Connection::open(address, draw);
            match connected.and_then(|connection| connection.claim(key, node, draw)) {
                Ok(Some(holder)) => return Ok(holder),
                Ok(None) if boottime() - begun < PATIENCE => {}
                Ok(None) => return Err(late("a grant")),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends one record, acknowledging all input before an offset with it.
    pub(crate) fn output(&mut self, bytes: &[u8], ack: Option<u64>) -> Result<()> {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let output = Output { position: self.position, ack, note: None, bytes };
        self.position = output.end();
        send(&mut self.stream, &Frame::Output(output))
    }

    /// Whether input comes within a time.
    pub(crate) fn has_input(&mut self, within: Duration) -> Result<bool> {
        let begun = boottime();
        while boottime() - begun < within {
            if let Some(frame) = buffered(&mut self.inbox)? {
                match frame {
                    Frame::Input(input) => {
                        self.next = Some(input);
                        return Ok(true);
                    }
                    Frame::Written(_) | Frame::Renewed(_) | Frame::Event(_) => continue,
                    other => return Err(unexpected(&other)),
                }
            }
            if ready(self.stream.as_fd(), PollFlags::IN, within)? {
                fill(&mut self.stream, &mut self.inbox)?;
            }
        }
        Ok(false)
    }

    /// The next input. Keeps the lease meanwhile.
    pub(crate) fn input(&mut self) -> Result<Input> {
        if let Some(input) = self.next.take() {
            return Ok(input);
        }
        if boottime() - self.renewed > RENEW {
            self.renewed = boottime();
            send(&mut self.stream, &Frame::Renew(1))?;
        }
        loop {
            match receive(&mut self.stream, &mut self.inbox)? {
                Frame::Input(input) => return Ok(input),
                Frame::Written(_) | Frame::Renewed(_) | Frame::Event(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Goes as a process that is killed with unread bytes does: with a reset.
    pub(crate) fn reset(self) -> Result<()> {
        reset(self.stream)
    }
}

/// Closes a connection with a reset.
pub(crate) fn reset(stream: TcpStream) -> Result<()> {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
        .doing(|| "set up a connection".to_owned())
}

struct Connection {
    stream: TcpStream,
    inbox: BytesMut,
    transcript: Transcript,
}

impl Connection {
    fn open(address: SocketAddr, draw: u64) -> Result<Self> {
        let mut stream = connect(address)?;
        let mut inbox = BytesMut::new();
        let line = LINE.parse().map_err(|_| LabError::Misuse("the line's name".to_owned()))?;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&draw.to_be_bytes());
        let hello = Hello { min: VERSION_MIN, max: VERSION, nonce: Nonce(nonce), line };
        send(&mut stream, &Frame::Hello(hello.clone()))?;
        match receive(&mut stream, &mut inbox)? {
            Frame::Welcome(welcome) => {
                let transcript = Transcript::new(&hello, &welcome);
                Ok(Self { stream, inbox, transcript })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Nothing if another one has the line still.
    fn claim(mut self, key: &Key, node: &str, draw: u64) -> Result<Option<Holder>> {
        let name =
            |text: &str| text.parse().map_err(|_| LabError::Misuse(format!("{text} is no name")));
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&draw.to_be_bytes());
        let claim = Claim {
            group: name(GROUP)?,
            node: name(node)?,
            boot: BootId(boot),
            seen: Epoch::NONE,
            lease_ms: LEASE_MS,
            key_id: 0,
            mac: [0; 32],
        };
        let claim = self.transcript.sign_claim(key, claim);
        send(&mut self.stream, &Frame::Claim(claim.clone()))?;
        let Self { mut stream, mut inbox, .. } = self;
        match receive(&mut stream, &mut inbox)? {
            Frame::Grant(grant) if verify_grant(key, &claim.mac, &grant) => {
                let (position, renewed) = (grant.position, boottime());
                Ok(Some(Holder { stream, inbox, grant, position, renewed, next: None }))
            }
            Frame::Refuse(_) => Ok(None),
            other => Err(unexpected(&other)),
        }
    }
}

fn send(stream: &mut TcpStream, frame: &Frame) -> Result<()> {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    stream.write_all(&bytes).doing(|| "send a frame".to_owned())
}

fn receive(stream: &mut TcpStream, inbox: &mut BytesMut) -> Result<Frame> {
    loop {
        match buffered(inbox)? {
            Some(frame) => return Ok(frame),
            None => fill(stream, inbox)?,
        }
    }
}

fn buffered(inbox: &mut BytesMut) -> Result<Option<Frame>> {
    FrameCodec.decode(inbox).map_err(|error| LabError::Line(error.to_string()))
}

fn fill(stream: &mut TcpStream, inbox: &mut BytesMut) -> Result<()> {
    let (mut chunk, what) = ([0; 16 * 1024], || "receive a frame".to_owned());
    match stream.read(&mut chunk).doing(what)? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)).doing(what),
        count => {
            inbox.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

fn unexpected(frame: &Frame) -> LabError {
    LabError::Line(format!("the terminal server sent {frame:?}"))
}

/// What a client says first, and what it is answered: bytes that no greeting holds.
const HERE: u8 = 0xA5;
const THERE: u8 = 0x5A;
/// The longest that is granted by default, so that no measure runs into it.
const LEASE_MS: u32 = 30_000;
const RENEW: Duration = Duration::from_secs(5);
