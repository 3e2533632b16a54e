//! Clients of the terminal server that break the protocol, have another key, or want what is held.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use lab::chain::{GROUP, LINE};
use lab::{Chain, session};
use tokio_util::codec::Decoder;
use wire::frame::{MAX_FRAME, VERSION, VERSION_MIN};
use wire::handshake::{Transcript, verify_refuse};
use wire::{
    BootId, Claim, Epoch, ErrorCode, Frame, FrameCodec, Hello, Key, LineState, Nonce, RefuseWhy,
    Welcome,
};

use crate::common::{Turn, assert_clean, chain};

/// A connection to the terminal server.
struct Client {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Client {
    fn connect(chain: &Chain) -> Self {
        let stream = TcpStream::connect(chain.place().listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        Self { stream, inbox: BytesMut::new() }
    }

    fn send(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next frame, or nothing at the end of the connection.
    fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = FrameCodec.decode(&mut self.inbox).unwrap() {
                return Some(frame);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn welcome(&mut self) -> (Hello, Welcome) {
        let hello = hello();
        self.send(&Frame::Hello(hello.clone()));
        match self.receive() {
            Some(Frame::Welcome(welcome)) => (hello, welcome),
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of a claim: the refusal, and then the end of the connection.
    #[track_caller]
    fn refused(&mut self, claim: Claim) -> wire::Refuse {
        self.send(&Frame::Claim(claim));
        let Some(Frame::Refuse(refuse)) = self.receive() else { panic!("no refusal") };
        assert_eq!(self.receive(), None, "a refusal ends the connection");
        refuse
    }

    #[track_caller]
    fn error(&mut self, expected: ErrorCode) {
        match self.receive() {
            Some(Frame::Error(code, text)) => {
                println!("{expected:?}: {text}");
                assert_eq!(code, expected);
                assert!(!text.is_empty());
            }
            other => panic!("{expected:?}: {other:?}"),
        }
        assert_eq!(self.receive(), None, "misuse ends the connection");
    }
}

fn hello() -> Hello {
    Hello { min: VERSION_MIN, max: VERSION, nonce: Nonce([5; 16]), line: LINE.parse().unwrap() }
}

fn claim(group: &str, node: &str) -> Claim {
    Claim {
        group: group.parse().unwrap(),
        node: node.parse().unwrap(),
        boot: BootId([3; 16]),
        seen: Epoch::NONE,
        lease_ms: 400,
        key_id: 0,
        mac: [0; 32],
    }
}

fn key(chain: &Chain) -> Key {
    Key::from_file_content(0, &std::fs::read(chain.key_file()).unwrap()).unwrap()
}

fn counter(chain: &Chain, name: &str) -> u64 {
    let status = chain.server_status().unwrap();
    status["lines"][0]["counters"][name].as_u64().unwrap()
}

#[tokio::test]
async fn i1_a_second_claim_while_held_and_claims_of_strangers_are_refused_with_the_reason() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let before = ["refused_busy", "refused_stranger"].map(|name| counter(&chain, name));

    // With the right key, even under the holder's name: another process is another claimant.
    for node in ["intruder", held.node.as_str()] {
        let mut client = Client::connect(&chain);
        let (hello, welcome) = client.welcome();
        let signed = Transcript::new(&hello, &welcome).sign_claim(&key(&chain), claim(GROUP, node));
        let refuse = client.refused(signed.clone());
        assert_eq!(refuse.why, RefuseWhy::Held);
        assert!(verify_refuse(&key(&chain), &signed.mac, &refuse));
        let status = &refuse.status;
        assert_eq!(status.holder.as_ref().map(|name| name.as_str()), Some(held.node.as_str()));
        assert_eq!((status.state, status.epoch), (LineState::Held, held.epoch));
    }
    // With another key, and for another group.
    let wrong = Key::new(0, *b"0123456789abcdef0123456789abcdef");
    for (group, why) in [(GROUP, RefuseWhy::Mac), ("others", RefuseWhy::Group)] {
        let mut client = Client::connect(&chain);
        let (hello, welcome) = client.welcome();
        let signed = Transcript::new(&hello, &welcome).sign_claim(&wrong, claim(group, "intruder"));
        assert_eq!(client.refused(signed).why, why);
    }
    // A true claim that was overheard on another connection.
    let mut client = Client::connect(&chain);
    let (hello, welcome) = client.welcome();
    let overheard = Transcript::new(&hello, &welcome).sign_claim(&key(&chain), claim(GROUP, "x"));
    let mut other = Client::connect(&chain);
    other.welcome();
    assert_eq!(other.refused(overheard).why, RefuseWhy::Mac);
    drop(client);

    let after = ["refused_busy", "refused_stranger"].map(|name| counter(&chain, name));
    println!("refused_busy, refused_stranger: {before:?} -> {after:?}");
    assert_eq!(after, [before[0] + 2, before[1] + 3]);
    assert_eq!(chain.coordinator(), Some(held));
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1);
}

#[tokio::test]
async fn frames_that_are_none_end_their_connection_and_nothing_else() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let held = chain.coordinator().unwrap();
    let before = counter(&chain, "misuse");
    // Says nothing, and is told so in the end.
    let mut silent = Client::connect(&chain);
    // Says half a frame and goes.
    let mut half = Client::connect(&chain);
    half.stream.write_all(&[0, 50, 1]).unwrap();
    drop(half);

    let mut garbage = Client::connect(&chain);
    garbage.stream.write_all(b"GET / HTTP/1.1\r\nHost: line\r\n\r\n").unwrap();
    garbage.error(ErrorCode::BadFrame);
    let mut oversized = Client::connect(&chain);
    let length = u16::try_from(MAX_FRAME + 1).unwrap();
    oversized.stream.write_all(&length.to_be_bytes()).unwrap();
    oversized.error(ErrorCode::BadFrame);
    let mut truncated = Client::connect(&chain);
    truncated.stream.write_all(&[0, 3, 1, b'L', b'K']).unwrap();
    truncated.error(ErrorCode::BadFrame);
    let mut early = Client::connect(&chain);
    early.send(&Frame::Claim(claim(GROUP, "intruder")));
    early.error(ErrorCode::Unexpected);
    let mut twice = Client::connect(&chain);
    twice.welcome();
    twice.send(&Frame::Hello(hello()));
    twice.error(ErrorCode::Unexpected);
    let mut writer = Client::connect(&chain);
    writer.welcome();
    writer.send(&Frame::Output(wire::Output {
        position: 0,
        ack: None,
        note: None,
        bytes: "A00000001 this would be a second writer\r\n".into(),
    }));
    writer.error(ErrorCode::Unexpected);
    let mut unknown = Client::connect(&chain);
    unknown.send(&Frame::Hello(Hello { line: "other".parse().unwrap(), ..hello() }));
    unknown.error(ErrorCode::UnknownLine);
    let mut newer = Client::connect(&chain);
    newer.send(&Frame::Hello(Hello { min: 200, max: 201, ..hello() }));
    newer.error(ErrorCode::Version);

    let after = counter(&chain, "misuse");
    println!("misuse: {before} -> {after}");
    assert_eq!(after, before + 8);
    // The runtime goes on while this thread waits: the chain's programs are processes.
    silent.error(ErrorCode::Slow);
    assert_eq!(chain.server_status().unwrap()["refused"]["silent"], 1);
    assert_eq!(chain.coordinator(), Some(held));
    let report = session::conclude(&mut chain, Vec::new(), Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1);
}

#[tokio::test]
async fn many_silent_connections_keep_no_node_out() {
    let _turn = Turn::take();
    let mut chain = chain(2).await;
    let idle: Vec<_> = (0..200).map(|_| Client::connect(&chain)).collect();
    let drill = chain.drill(lab::Kind::Kill).await.unwrap();
    assert!(drill.recovered(), "{drill:?}");
    println!("kill -9 beside 200 silent connections: unserved {:.1?}", drill.unserved.unwrap());
    drop(idle);
    assert_clean(&session::conclude(&mut chain, vec![drill], Vec::new()).await);
}
