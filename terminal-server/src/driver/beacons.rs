//! Tells the group how its lines stand.

use sys::{BootTimer, DatagramSender};
use tokio::sync::watch;
use wire::{Datagram, Key, LineStatus, Time};

use super::clock::now;
use crate::core::Announcer;

/// What the lines last said of themselves.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    /// The start number.
    pub(crate) start: u32,
    /// Each line's status and when it was taken.
    pub(crate) lines: Vec<(LineStatus, Time)>,
}

/// One receiver of beacons, multicast group or host.
#[derive(Debug)]
struct Target {
    sender: DatagramSender,
    /// The last beacon to it failed; that is said once and not ten times a second.
    failing: bool,
}

/// Sends the beacons of one group until its lines are gone.
#[derive(Debug)]
pub(crate) struct Herald {
    announcer: Announcer,
    key: Key,
    targets: Vec<Target>,
    board: watch::Receiver<Board>,
    timer: BootTimer,
}

impl Herald {
    pub(crate) fn new(
        announcer: Announcer,
        key: Key,
        senders: Vec<DatagramSender>,
        board: watch::Receiver<Board>,
        timer: BootTimer,
    ) -> Self {
        let targets = senders.into_iter().map(|sender| Target { sender, failing: false });
        Self { announcer, key, targets: targets.collect(), board, timer }
    }

    /// Ends when the lines do.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(beacon) = self.announcer.poll_beacon(now()) {
                let bytes = Datagram::Beacon(beacon).encode(&self.key);
                self.targets.iter_mut().for_each(|target| target.send(&bytes));
            }
            let deadline = self.announcer.poll_timeout().map(Time::since_boot);
            tokio::select! {
                // A change goes before a beacon that would not know of it.
                biased;
                changed = self.board.changed() => match changed {
                    Ok(()) => self.read_board(),
                    Err(_) => return,
                },
                () = self.timer.until(deadline) => {}
            }
        }
    }

    fn read_board(&mut self) {
        let board = self.board.borrow_and_update().clone();
        self.announcer.handle_start(board.start);
        for (status, taken) in board.lines {
            self.announcer.handle_status(status, taken);
        }
    }
}

impl Target {
    fn send(&mut self, beacon: &[u8]) {
        let dest = self.sender.dest();
        match self.sender.try_send(beacon) {
            Ok(_) if self.failing => {
                self.failing = false;
                tracing::info!(%dest, "beacons can be sent again");
            }
            Ok(_) => {}
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(
                    %dest, %error,
                    "failed to send a beacon; is the network up, and --interface one of its own?"
                );
            }
            Err(_) => {}
        }
    }
}
