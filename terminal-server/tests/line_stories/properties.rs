//! What holds for any history.

use bytes::BytesMut;
use proptest::prelude::*;
use terminal_server::core::Start;
use tokio_util::codec::Decoder;
use wire::{Epoch, Frame, FrameCodec};

use crate::stage::{Stage, config, ms};

/// Something that happens to a line.
#[derive(Debug, Clone)]
enum Step {
    Input(Vec<u8>),
    /// The holder acknowledges so much of what it was sent.
    Ack(u8),
    /// The holder sends a record, with or without an acknowledgement of all it was sent.
    Output(usize, bool),
    Pass(u64),
    /// The holder goes, the next one comes.
    TakeOver,
    Device(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Step::Input),
        3 => any::<u8>().prop_map(Step::Ack),
        3 => (1_usize..120, any::<bool>()).prop_map(|(len, ack)| Step::Output(len, ack)),
        3 => (0_u64..80).prop_map(Step::Pass),
        1 => Just(Step::TakeOver),
        1 => any::<bool>().prop_map(Step::Device),
        1 => Just(Step::Restart),
    ]
}

/// A line with one holder after the other, and what must be true of it.
struct History {
    s: Stage,
    holder: u64,
    holders: u8,
    start: u32,
    epoch: Epoch,
    position: u64,
    /// All input ever.
    input: Vec<u8>,
    /// Input before this offset was acknowledged by some holder.
    acked: u64,
    /// Input that this holder was sent.
    sent: u64,
}

impl History {
    fn new() -> Self {
        let mut history = Self {
            s: Stage::new(),
            holder: 0,
            holders: 0,
            start: 7,
            epoch: Epoch::NONE,
            position: 0,
            input: Vec::new(),
            acked: 0,
            sent: 0,
        };
        history.come();
        history
    }

    fn come(&mut self) {
        self.holders = self.holders.wrapping_add(1);
        let (id, grant) = self.s.granted(&format!("n{}", self.holders));
        assert!(grant.epoch > self.epoch, "I5");
        assert!(grant.acked <= grant.delivered && grant.delivered <= grant.end, "I3");
        assert_eq!(grant.end, self.input.len() as u64, "I3");
        assert!(grant.acked <= self.acked, "I3: nothing is forgotten that nobody acknowledged");
        self.epoch = grant.epoch;
        self.position = grant.position;
        self.holder = id;
        self.sent = grant.acked;
        self.look();
    }

    /// The holder gets exactly the bytes that were read, each at its offset.
    fn look(&mut self) {
        for frame in self.s.frames(self.holder) {
            if let Frame::Input(input) = frame {
                assert_eq!(input.offset, self.sent, "I3: no hole");
                let end = input.end() as usize;
                assert_eq!(input.bytes, &self.input[self.sent as usize..end], "I3");
                self.sent = input.end();
            }
        }
        assert!(self.s.acked() <= self.acked, "I3");
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Input(bytes) => {
                self.input.extend_from_slice(&bytes);
                self.s.input(&bytes);
            }
            Step::Ack(part) => {
                let from = self.s.acked();
                let offset = from + (self.sent - from) * u64::from(part) / 255;
                self.acked = self.acked.max(offset);
                self.s.ack(self.holder, offset, None);
            }
            Step::Output(len, ack) => {
                if self.position + len as u64 > self.s.line.counters().bytes_out + 4000 {
                    return;
                }
                let bytes = vec![self.holders; len];
                let ack = ack.then_some(self.sent);
                self.acked = self.acked.max(ack.unwrap_or(0));
                self.s.output(self.holder, self.position, &bytes, ack);
                self.position += len as u64;
            }
            Step::Pass(time) => self.s.pass_renewing(self.holder, ms(time)),
            Step::TakeOver => {
                self.s.close(self.holder);
                self.come();
            }
            Step::Device(up) => self.s.device(up),
            Step::Restart => self.restart(),
        }
        self.look();
    }

    /// What is saved makes the same line again.
    fn restart(&mut self) {
        self.s.device(true);
        self.s.line.handle_stop(self.s.now);
        self.s.settle();
        self.s.pass(ms(500));
        assert!(self.s.line.is_stopped());
        let saved = self.s.line.save();
        assert_eq!(saved.bytes, &self.input[saved.acked as usize..], "I3");
        self.start += 1;
        let start = Start { number: self.start, saved: Some(saved.clone()), unclean: false };
        let tty = std::mem::take(&mut self.s.tty);
        self.s = Stage::with(config(), start);
        let mut again = self.s.line.save();
        assert_eq!(again.epoch, saved.epoch);
        again.events.clone_from(&saved.events);
        assert_eq!(again, saved);
        self.s.tty = tty;
        self.s.pass(ms(400));
        self.come();
    }

    /// I2: each holder's bytes stand together, in order of the grants. A record torn by a device
    /// that went is sent again, so a block may be longer than what was sent.
    fn check_tty(&self) {
        let mut blocks = self.s.tty.clone();
        blocks.dedup();
        assert!(blocks.is_sorted(), "I2: {blocks:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_for_any_history(steps in prop::collection::vec(step(), 1..60)) {
        let mut history = History::new();
        for step in steps {
            history.act(step);
        }
        history.check_tty();
        prop_assert_eq!(history.s.line.counters().misuse, 0);
    }

    #[test]
    fn any_chunking_of_the_stream_gives_the_same_events(
        cuts in prop::collection::vec(1_usize..60, 1..80)
    ) {
        prop_assert_eq!(outcome(&cuts), outcome(&[usize::MAX]));
    }
}

/// What comes of one session whose bytes arrive in pieces of these lengths, over and over.
fn outcome(cuts: &[usize]) -> (Vec<u8>, Vec<Frame>, u64) {
    let mut s = Stage::new();
    let (id, _) = s.granted("alpha");
    s.input(b"some input to be acknowledged");
    let mut stream = BytesMut::new();
    for n in 0..30 {
        Frame::Renew(n).encode(&mut stream);
        let output = wire::Output {
            position: n * 5,
            ack: Some(n / 2),
            note: (n % 3 == 0).then(|| vec![n as u8; n as usize].into()),
            bytes: b"reply".to_vec().into(),
        };
        Frame::Output(output).encode(&mut stream);
        Frame::Ack(wire::Ack { offset: n / 2, note: None }).encode(&mut stream);
    }
    let mut inbox = BytesMut::new();
    let mut cuts = cuts.iter().cycle();
    while !stream.is_empty() {
        let cut = stream.len().min(*cuts.next().unwrap());
        inbox.extend_from_slice(&stream.split_to(cut));
        while let Some(frame) = FrameCodec.decode(&mut inbox).unwrap() {
            s.send(id, frame);
        }
    }
    s.pass(ms(300));
    (s.tty.clone(), s.frames(id), s.acked())
}
