//! A client of the line protocol that waits, for threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;
use wire::handshake::Transcript;
use wire::{
    Ack, BootId, Claim, Epoch, Frame, FrameCodec, Grant, Hello, Nonce, Observe, ObserveFrom, Output,
};

use crate::stand::{PATIENCE, key};

pub struct Client {
    pub stream: TcpStream,
    inbox: BytesMut,
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn encoded(frame: &Frame) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

pub fn hello(line: &str) -> Hello {
    Hello { min: 1, max: 2, nonce: Nonce([7; 16]), line: line.parse().unwrap() }
}

impl Client {
    pub fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&encoded(frame)).unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = FrameCodec.decode(&mut self.inbox).unwrap() {
                return Some(frame);
            }
            let mut buf = [0; 16 * 1024];
            match self.stream.read(&mut buf) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&buf[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next frame that `pick` wants.
    pub fn find<T>(&mut self, pick: impl Fn(Frame) -> Option<T>) -> T {
        loop {
            let frame = self.next().expect("the connection goes on");
            assert!(!matches!(frame, Frame::Revoked(_) | Frame::Error(..)), "{frame:?}");
            if let Some(found) = pick(frame) {
                return found;
            }
        }
    }

    fn welcomed(address: SocketAddr, line: &str) -> (Self, Transcript) {
        let mut client = Self { stream: connect(address), inbox: BytesMut::new() };
        let hello = hello(line);
        client.send(&Frame::Hello(hello.clone()));
        let Some(Frame::Welcome(welcome)) = client.next() else { panic!("no WELCOME") };
        (client, Transcript::new(&hello, &welcome))
    }

    /// The next holder of a line: nobody else claims it, but the last one's end may not have been
    /// seen yet.
    pub fn granted(address: SocketAddr, line: &str, node: &str) -> (Self, Grant) {
        let began = sys::boottime();
        loop {
            let (mut client, transcript) = Self::welcomed(address, line);
            let claim = Claim {
                group: "crew".parse().unwrap(),
                node: node.parse().unwrap(),
                boot: BootId([1; 16]),
                seen: Epoch::NONE,
                lease_ms: 3000,
                key_id: 0,
                mac: [0; 32],
            };
            client.send(&Frame::Claim(transcript.sign_claim(&key(), claim)));
            match client.next() {
                Some(Frame::Grant(grant)) => return (client, grant),
                Some(Frame::Refuse(refuse)) if sys::boottime() - began > PATIENCE => {
                    panic!("{refuse:?}")
                }
                _ => {}
            }
        }
    }

    pub fn observing(address: SocketAddr, line: &str) -> Self {
        let (mut client, transcript) = Self::welcomed(address, line);
        let observe = Observe {
            group: "crew".parse().unwrap(),
            node: "watcher".parse().unwrap(),
            from: ObserveFrom::Live,
            key_id: 0,
            mac: [0; 32],
        };
        client.send(&Frame::Observe(transcript.sign_observe(&key(), observe)));
        client.find(|frame| matches!(frame, Frame::Observing(_)).then_some(()));
        client
    }

    pub fn output(&mut self, position: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(&Frame::Output(Output { position, ack: None, note: None, bytes }));
    }

    pub fn ack(&mut self, offset: u64) {
        self.send(&Frame::Ack(Ack { offset, note: None }));
    }
}
