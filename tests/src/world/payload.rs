//! The component that a coordinator runs, and the guard that ends it.

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::{Ack, Epoch, Frame, Grant, Output, Time};

use super::billing::{RecordReader, answer, wants_answer};
use super::clock::{MS, True};

/// One started payload and its guard. Both run on when the node is stopped.
#[derive(Debug)]
pub struct Payload {
    /// Tells payloads of one node apart.
    pub instance: u64,
    node: usize,
    epoch: Epoch,
    position: u64,
    reader: RecordReader,
    /// The lease that the guard was last told of, by the node's clock.
    pub lease_until: Time,
    /// The same by true time.
    pub until: True,
    /// It was told to stop: it takes nothing more.
    pub stopping: bool,
    /// It takes nothing more, though nobody told it to.
    pub hangs: bool,
    /// It goes on although it was told to stop.
    pub stubborn: bool,
}

impl Payload {
    /// Started with this grant.
    pub fn new(instance: u64, node: usize, grant: &Grant, lease_until: Time) -> Self {
        Self {
            instance,
            node,
            epoch: grant.epoch,
            position: grant.position,
            reader: RecordReader::default(),
            lease_until,
            until: 0,
            stopping: false,
            hangs: false,
            stubborn: false,
        }
    }

    /// A frame on its standard input; gives the frames it writes and the records it took.
    pub fn handle(&mut self, frame: Frame) -> Vec<(Frame, u32)> {
        let Frame::Input(input) = frame else { return Vec::new() };
        if self.hangs || (self.stopping && !self.stubborn) {
            return Vec::new();
        }
        let records = self.reader.feed(input.offset, &input.bytes);
        records.into_iter().map(|(number, end)| (self.reply(number, end), number)).collect()
    }

    fn reply(&mut self, number: u32, end: u64) -> Frame {
        if !wants_answer(number) {
            return Frame::Ack(Ack { offset: end, note: None });
        }
        let bytes = answer(self.epoch, self.node, number);
        let position = self.position;
        self.position += bytes.len() as u64;
        let note = number.is_multiple_of(3).then(|| Bytes::from(format!("last {number}")));
        Frame::Output(Output { position, ack: Some(end), note, bytes })
    }
}

/// How long the component thinks about one frame.
pub fn thinking(rng: &mut ChaCha8Rng) -> True {
    if rng.random_bool(0.05) {
        rng.random_range(MS..30 * MS)
    } else {
        rng.random_range(MS / 10..MS)
    }
}
