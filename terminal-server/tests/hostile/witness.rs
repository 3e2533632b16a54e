//! Clients that do what is right, all the while, and say how they were served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wire::{Epoch, Frame};

use crate::client::{Client, connect};
use crate::stand::pause;

/// A client whose far end echoes.
pub struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Service>,
}

/// How it was served.
#[derive(Debug)]
pub struct Service {
    /// Round trips in order of length.
    pub rounds: Vec<Duration>,
    pub sent: Vec<u8>,
    /// Its grant, where its protocol tells.
    pub epoch: Epoch,
}

impl Service {
    pub fn worst(&self) -> Duration {
        self.rounds.last().copied().unwrap_or_default()
    }

    pub fn median(&self) -> Duration {
        self.rounds[self.rounds.len() / 2]
    }
}

impl Witness {
    /// Holds the line `pms` and renews.
    pub fn holder(address: SocketAddr, line: &str) -> Self {
        let (mut client, grant) = Client::granted(address, line, "witness");
        let (mut position, mut acked) = (grant.position, grant.acked);
        Self::start(grant.epoch, move |payload| {
            client.send(&Frame::Renew(position));
            client.output(position, payload);
            position += payload.len() as u64;
            let mut got = Vec::new();
            while got.len() < payload.len() {
                let input = client.find(|frame| match frame {
                    Frame::Input(input) => Some(input),
                    _ => None,
                });
                assert_eq!(input.offset, acked, "nothing lost, nothing doubled");
                acked = input.end();
                got.extend_from_slice(&input.bytes);
            }
            client.ack(acked);
            got
        })
    }

    /// Has a line by connecting.
    pub fn raw(address: SocketAddr) -> Self {
        let mut client = connect(address);
        Self::start(Epoch::NONE, move |payload| round(&mut client, payload))
    }

    fn start(epoch: Epoch, mut echo: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut service = Service { rounds: Vec::new(), sent: Vec::new(), epoch };
            while !stopped.load(Ordering::Relaxed) {
                let payload = format!("{:07}\n", service.rounds.len());
                let began = sys::boottime();
                let back = echo(payload.as_bytes());
                service.rounds.push(sys::boottime() - began);
                assert_eq!(back, payload.as_bytes());
                service.sent.extend_from_slice(payload.as_bytes());
                pause(2);
            }
            service.rounds.sort_unstable();
            service
        });
        Self { stop, thread }
    }

    pub fn end(self) -> Service {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it was served")
    }
}

fn round(client: &mut TcpStream, payload: &[u8]) -> Vec<u8> {
    client.write_all(payload).unwrap();
    let mut back = vec![0; payload.len()];
    client.read_exact(&mut back).unwrap();
    back
}
