//! A terminal server's status socket in front of a line's loop that is the test itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use bytes::{Bytes, BytesMut};
use daemon::{CancellationToken, Request, StatusSocket};
use terminal_server::driver::question::{AttachFrom, ClientReport, Kick, LineQuestion};
use terminal_server::driver::requests;
use tokio::sync::mpsc;
use tokio_util::codec::Decoder;
use wire::frame::{Grant, Input, LastFrame, LineEvent, Observing, Refuse, RefuseWhy, Written};
use wire::{
    Epoch, EventKind, Frame, FrameCodec, FreeCause, LineSettings, LineState, LineStatus, Mac,
    Signals,
};

use crate::support::{PATIENCE, program};

/// With one line, `pms`.
pub struct Server {
    pub status: PathBuf,
    arrivals: Receiver<Console>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// A console that has come in.
pub struct Console {
    pub hold: bool,
    pub from: AttachFrom,
    stream: UnixStream,
    inbox: BytesMut,
}

impl Server {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let status = dir.path().join("status");
        let (path, stop) = (status.clone(), CancellationToken::new());
        let token = stop.clone();
        let (send, arrivals) = channel();
        let (is_bound, bound) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let socket = StatusSocket::bind(&path).await.unwrap();
                is_bound.send(()).unwrap();
                let (ask, mut asked) = mpsc::channel::<Request>(4);
                let (question, mut questions) = mpsc::channel(4);
                let served = tokio::spawn(socket.serve(ask, token));
                let lines = [("pms".parse().unwrap(), question)];
                let answers = tokio::spawn(async move {
                    while let Some(request) = asked.recv().await {
                        requests::answer(request, &lines).await;
                    }
                });
                while let Some(question) = questions.recv().await {
                    match question {
                        LineQuestion::Attach(attach) => {
                            let stream = attach.stream.into_std().unwrap();
                            stream.set_nonblocking(false).unwrap();
                            stream.set_read_timeout(Some(PATIENCE)).unwrap();
                            let inbox = BytesMut::from(&attach.inbox[..]);
                            let (hold, from) = (attach.hold, attach.from);
                            let _ = send.send(Console { hold, from, stream, inbox });
                        }
                        LineQuestion::Clients(answer) => {
                            drop(answer.send(vec![client(1, "holder"), client(2, "observer")]));
                        }
                        LineQuestion::Kick { who, answer } => drop(answer.send(match who {
                            Kick::Holder => vec![client(1, "holder")],
                            Kick::Client(id @ 1..=2) => vec![client(id, "observer")],
                            _ => Vec::new(),
                        })),
                        LineQuestion::Report(_) | LineQuestion::SetGroups { .. } => {}
                    }
                }
                answers.await.unwrap();
                served.await.unwrap();
            });
        });
        bound.recv_timeout(PATIENCE).unwrap();
        Self { status, arrivals, stop, _dir: dir }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).arg("--status").arg(&self.status);
        command
    }

    pub fn console(&self) -> Console {
        self.arrivals.recv_timeout(PATIENCE).expect("a console comes in")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn client(id: u64, role: &str) -> ClientReport {
    ClientReport {
        id,
        address: format!("127.0.0.1:500{id}"),
        kind: "raw".to_owned(),
        role: role.to_owned(),
        name: None,
        connected_ms: 5000,
        bytes_in: 10,
        bytes_out: 20,
        lag: 0,
    }
}

impl Console {
    pub fn say(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    pub fn grant(&mut self, position: u64, acked: u64) {
        self.say(&Frame::Grant(Grant {
            epoch: Epoch::default(),
            lease_ms: 0,
            incarnation: 7,
            acked,
            delivered: acked,
            end: acked,
            position,
            last: LastFrame::default(),
            note: Bytes::new(),
            mac: Mac::default(),
        }));
        self.say(&Frame::Settings(LineSettings::new(9600).into()));
        self.say(&Frame::Signals(Signals::DTR));
    }

    pub fn observe(&mut self, offset: u64) {
        let (incarnation, mac) = (7, Mac::default());
        self.say(&Frame::Observing(Observing { incarnation, offset, end: offset, mac }));
    }

    pub fn refuse(&mut self) {
        let status = LineStatus {
            line: "pms".parse().unwrap(),
            state: LineState::Free(FreeCause::Closed),
            epoch: Epoch::default(),
            holder: Some("alpha".parse().unwrap()),
            lease_ms: 0,
            left_ms: 0,
            reserved_for: None,
            up: true,
        };
        let why = RefuseWhy::Held;
        self.say(&Frame::Refuse(Refuse { why, retry_ms: 0, status, mac: Mac::default() }));
    }

    pub fn input(&mut self, offset: u64, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.say(&Frame::Input(Input { offset, bytes }));
    }

    pub fn event(&mut self, kind: EventKind) {
        self.say(&Frame::Event(LineEvent { offset: 0, kind }));
    }

    pub fn written(&mut self, accepted: u64, drained: u64) {
        self.say(&Frame::Written(Written { accepted, drained }));
    }

    /// The next frame; `None` at the end of the connection.
    pub fn hears(&mut self) -> Option<Frame> {
        let mut piece = [0; 4096];
        loop {
            if let Some(frame) = FrameCodec.decode(&mut self.inbox).unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut piece).unwrap() {
                0 => return None,
                count => self.inbox.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// So much output, however it was cut, with everything else that came before its end.
    pub fn hears_output(&mut self, count: usize) -> (Vec<u8>, Vec<Frame>) {
        let (mut output, mut others) = (Vec::new(), Vec::new());
        while output.len() < count {
            match self.hears().expect("more output") {
                Frame::Output(frame) => output.extend_from_slice(&frame.bytes),
                other => others.push(other),
            }
        }
        (output, others)
    }
}
