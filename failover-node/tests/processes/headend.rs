//! A line whose far end is the billing system of the `cable` dialect: it sends commands and hears
//! what the holder answers. It remembers acknowledgement and note for the next holder.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use billing::{BillingEnd, Dialect, SimEvent, WallClock};
use bytes::{Bytes, BytesMut};
use sys::boottime;
use tokio_util::codec::Decoder;
use wire::{Frame, FrameCodec, Input, Key, Written};

use crate::line::{Stand, admit, send};
use crate::support::LONG;

/// The listener's address, and what the billing system has heard.
pub(crate) struct Headend {
    pub(crate) address: SocketAddr,
    answers: Receiver<String>,
}

impl Headend {
    /// Listens; the billing system sends commands 1 to `commands`, one after the other.
    pub(crate) fn start(key: Key, commands: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, answers) = channel();
        thread::spawn(move || {
            let mut cable = Cable::new(commands, heard);
            for (count, stream) in (1..).zip(listener.incoming()) {
                let Ok(stream) = stream else { return };
                let _ = cable.serve(stream, &key, count);
            }
        });
        Self { address, answers }
    }

    /// The next answer, as it stood on the line.
    pub(crate) fn answer(&self) -> String {
        self.answers.recv_timeout(LONG).expect("an answer in time")
    }
}

struct Cable {
    end: Box<dyn BillingEnd>,
    heard: Sender<String>,
    /// All input there ever was.
    input: Vec<u8>,
    /// So much of it was sent to the holder.
    sent: usize,
    transmits: u64,
    stand: Stand,
}

impl Cable {
    fn new(commands: u64, heard: Sender<String>) -> Self {
        let dialect = Dialect::named("cable", &[]).unwrap();
        let mut end = dialect.billing_end(1, WallClock { at_boot: 0 }, boottime());
        (1..=commands).for_each(|serial| end.send(serial, boottime()));
        let stand = Stand { acked: 0, end: 0, note: Bytes::new() };
        Self { end, heard, input: Vec::new(), sent: 0, transmits: 0, stand }
    }

    /// One holder, to the end of its connection.
    fn serve(&mut self, mut stream: TcpStream, key: &Key, count: u32) -> Option<()> {
        let mut inbox = BytesMut::new();
        self.stand.end = self.input.len() as u64;
        self.sent = usize::try_from(self.stand.acked).unwrap();
        admit(&mut stream, &mut inbox, key, count, self.stand.clone())?;
        stream.set_read_timeout(Some(LOOK)).ok()?;
        loop {
            self.advance(&mut stream)?;
            while let Some(frame) = FrameCodec.decode(&mut inbox).unwrap() {
                self.take(&mut stream, frame)?;
            }
            let mut chunk = [0; 4096];
            match std::io::Read::read(&mut stream, &mut chunk) {
                Ok(0) => return None,
                Ok(n) => inbox.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self, stream: &mut TcpStream, frame: Frame) -> Option<()> {
        match frame {
            Frame::Renew(n) => return send(stream, &Frame::Renewed(n)),
            Frame::Ack(ack) => {
                self.stand.acked = ack.offset;
                self.stand.note = ack.note.unwrap_or_else(|| self.stand.note.clone());
            }
            Frame::Output(output) => {
                self.stand.acked = output.ack.unwrap_or(self.stand.acked);
                self.stand.note = output.note.unwrap_or_else(|| self.stand.note.clone());
                self.end.handle_bytes(&output.bytes, boottime());
                let written = output.position + output.bytes.len() as u64;
                let written = Written { accepted: written, drained: written };
                return send(stream, &Frame::Written(written));
            }
            Frame::Release(_) => return None,
            other => panic!("{other:?}"),
        }
        Some(())
    }

    /// What the billing system has to say.
    fn advance(&mut self, stream: &mut TcpStream) -> Option<()> {
        self.end.handle_timeout(boottime());
        while let Some(bytes) = self.end.poll_transmit() {
            self.input.extend_from_slice(&bytes);
            self.transmits += 1;
            self.end.handle_written(self.transmits, boottime());
        }
        while let Some(event) = self.end.poll_event() {
            if let SimEvent::Answered { text, .. } = event {
                self.heard.send(String::from_utf8(text.to_vec()).unwrap()).ok()?;
            }
        }
        if self.sent < self.input.len() {
            let bytes = Bytes::copy_from_slice(&self.input[self.sent..]);
            let input = Input { offset: self.sent as u64, bytes };
            self.sent = self.input.len();
            send(stream, &Frame::Input(input))?;
        }
        Some(())
    }
}

/// Between two looks at the billing system's clock.
const LOOK: Duration = Duration::from_millis(5);
