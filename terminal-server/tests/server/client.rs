//! A client of the line protocol, as small as one can be.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::Decoder;
use wire::handshake::{self, Transcript};
use wire::{
    Ack, BootId, Claim, Epoch, Frame, FrameCodec, Grant, Hello, Input, Nonce, Output, Refuse,
    Welcome,
};

use crate::daemon::{key, within};

pub struct Client {
    pub stream: TcpStream,
    inbox: BytesMut,
    /// Frames that were skipped while another was waited for.
    pub skipped: Vec<Frame>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, inbox: BytesMut::new(), skipped: Vec::new() }
    }

    pub async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        within(self.stream.write_all(&bytes)).await.unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        within(async {
            loop {
                if let Some(frame) = FrameCodec.decode(&mut self.inbox).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.inbox).await {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }

    /// The next frame that `pick` wants; others are put aside.
    pub async fn find<T>(&mut self, pick: impl Fn(&Frame) -> Option<T>) -> T {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            match pick(&frame) {
                Some(found) => return found,
                None => self.skipped.push(frame),
            }
        }
    }

    pub async fn hello(&mut self, line: &str) -> Result<Transcript, Frame> {
        let mut nonce = Nonce::default();
        SysRng.try_fill_bytes(&mut nonce.0).unwrap();
        let hello = Hello { min: 1, max: 1, nonce, line: line.parse().unwrap() };
        self.send(Frame::Hello(hello.clone())).await;
        match self.next().await {
            Some(Frame::Welcome(welcome)) => Ok(self.transcript(&hello, &welcome)),
            Some(other) => Err(other),
            None => panic!("no answer to HELLO"),
        }
    }

    fn transcript(&self, hello: &Hello, welcome: &Welcome) -> Transcript {
        assert_eq!(welcome.server.as_str(), "ts");
        Transcript::new(hello, welcome)
    }

    /// Connects and claims the line `pms` for a node of the group `crew`.
    pub async fn try_claim(address: SocketAddr, claim: &Claim) -> Result<(Self, Grant), Refuse> {
        let mut client = Self::connect(address).await;
        let transcript = client.hello("pms").await.unwrap();
        let claim = transcript.sign_claim(&key(), claim.clone());
        client.send(Frame::Claim(claim.clone())).await;
        match client.next().await.expect("an answer to CLAIM") {
            Frame::Grant(grant) => {
                assert!(handshake::verify_grant(&key(), &claim.mac, &grant));
                Ok((client, grant))
            }
            Frame::Refuse(refuse) => {
                assert!(handshake::verify_refuse(&key(), &claim.mac, &refuse));
                Err(refuse)
            }
            other => panic!("neither GRANT nor REFUSE: {other:?}"),
        }
    }

    pub async fn granted(address: SocketAddr, node: &str) -> (Self, Grant) {
        match Self::try_claim(address, &claim(node)).await {
            Ok(granted) => granted,
            Err(refuse) => panic!("refused: {refuse:?}"),
        }
    }

    /// So many bytes of input, which must follow on, and the offset of the first.
    pub async fn input(&mut self, count: usize) -> (u64, Vec<u8>) {
        let input = |frame: &Frame| match frame {
            Frame::Input(Input { offset, bytes }) => Some((*offset, bytes.to_vec())),
            _ => None,
        };
        let (first, mut all) = self.find(input).await;
        while all.len() < count {
            let (offset, bytes) = self.find(input).await;
            assert_eq!(offset, first + all.len() as u64);
            all.extend(bytes);
        }
        (first, all)
    }

    pub async fn output(&mut self, position: u64, bytes: &[u8], ack: Option<u64>) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(Frame::Output(Output { position, ack, note: None, bytes })).await;
    }

    pub async fn ack(&mut self, offset: u64, note: Option<&'static [u8]>) {
        let note = note.map(Bytes::from_static);
        self.send(Frame::Ack(Ack { offset, note })).await;
    }

    /// Renews and waits until that is answered.
    pub async fn renew(&mut self, n: u64) {
        self.send(Frame::Renew(n)).await;
        self.find(|frame| (*frame == Frame::Renewed(n)).then_some(())).await;
    }
}

/// A claim to be signed. The lease is long: a busy machine must not end it.
pub fn claim(node: &str) -> Claim {
    Claim {
        group: "crew".parse().unwrap(),
        node: node.parse().unwrap(),
        boot: BootId([node.as_bytes()[0]; 16]),
        seen: Epoch::NONE,
        lease_ms: 10_000,
        key_id: 0,
        mac: [0; 32],
    }
}
