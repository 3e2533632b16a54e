//! A gateway between the node's frames and the store: who must have what before whom.

use std::collections::VecDeque;
use std::time::Duration;

use billing::{Gateway, LineNews, Output, Write};
use wire::frame::OUTPUT_WINDOW;
use wire::{Ack, EventKind, Frame, Grant};

use super::note;

/// The gateway of one grant.
///
/// Contract: call one `handle_frame`, or one method of [`Self::gateway`]; make [`Self::writes`]
/// durable; [`Self::release`] the outputs; send what [`Self::poll_frame`] yields.
pub struct Session {
    dialect: &'static str,
    incarnation: u64,
    gateway: Box<dyn Gateway>,
    /// Released, and not handed to the node: the window is full. The gateway's own rules bound it:
    /// one record of its own, and an answer to each of the peer's.
    outputs: VecDeque<Output>,
    position: u64,
    accepted: u64,
    /// The highest acknowledgement that was handed to the node.
    acked: u64,
    /// Where outputs end that were handed to the node and are not written, in order.
    ends: VecDeque<u64>,
    written: u64,
}

/// The node said what it must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node sent {0}, which has no place here")]
pub struct Misplaced(&'static str);

impl Session {
    /// From the grant on. `gateway` was made from the grant's offset and note.
    pub fn new(dialect: &'static str, grant: &Grant, gateway: Box<dyn Gateway>) -> Self {
        Self {
            dialect,
            incarnation: grant.incarnation,
            gateway,
            outputs: VecDeque::new(),
            position: grant.position,
            accepted: grant.position,
            acked: grant.acked,
            ends: VecDeque::new(),
            written: 0,
        }
    }

    /// The gateway, to tell it what is no frame.
    pub fn gateway(&mut self) -> &mut dyn Gateway {
        self.gateway.as_mut()
    }

    /// Takes a frame from the node.
    ///
    /// # Errors
    /// It is none for a payload that has its grant. Nothing was changed.
    pub fn handle_frame(&mut self, frame: Frame, now: Duration) -> Result<(), Misplaced> {
        match frame {
            Frame::Input(input) => self.gateway.handle_input(input.offset, &input.bytes, now),
            Frame::Event(event) => {
                let news = match event.kind {
                    EventKind::Gap(_) => LineNews::Gap { offset: event.offset },
                    EventKind::Down => LineNews::Down,
                    EventKind::Up => LineNews::Up,
                    EventKind::Break
                    | EventKind::Parity
                    | EventKind::Framing
                    | EventKind::Overrun => LineNews::Damage,
                };
                self.gateway.handle_line(news, now);
            }
            Frame::Written(written) => {
                self.accepted = written.accepted;
                let before = self.written;
                while self.ends.front().is_some_and(|end| *end <= self.accepted) {
                    self.ends.pop_front();
                    self.written += 1;
                }
                if self.written > before {
                    self.gateway.handle_written(self.written, now);
                }
            }
            other => return Err(Misplaced(other.name())),
        }
        Ok(())
    }

    /// What must be durable before [`Self::release`].
    pub fn writes(&mut self) -> Vec<Write> {
        std::iter::from_fn(|| self.gateway.poll_write()).collect()
    }

    /// What was to be made durable is: outputs may leave.
    pub fn release(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match self.outputs.back_mut() {
                // Two acknowledgements alone in a row are one.
                Some(last) if last.bytes.is_empty() && output.bytes.is_empty() => {
                    last.ack = output.ack;
                    last.note = output.note.or_else(|| last.note.take());
                }
                _ => self.outputs.push_back(output),
            }
        }
    }

    /// The next frame for the node, if the window has room for it.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        loop {
            let next = self.outputs.front()?;
            let end = self.position + next.bytes.len() as u64;
            if end - self.accepted > OUTPUT_WINDOW {
                return None;
            }
            let Output { bytes, ack, note } = self.outputs.pop_front()?;
            let note = note.map(|state| note::wrap(self.dialect, self.incarnation, &state));
            let ack = (ack > self.acked || note.is_some()).then_some(ack);
            self.acked = self.acked.max(ack.unwrap_or(0));
            if bytes.is_empty() {
                let Some(offset) = ack else { continue };
                return Some(Frame::Ack(Ack { offset, note }));
            }
            let output = wire::Output { position: self.position, ack, note, bytes };
            self.position = end;
            self.ends.push_back(end);
            return Some(Frame::Output(output));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use billing::{Ledger, Notice, Posting, Reply, WallClock};
    use bytes::Bytes;
    use wire::{Epoch, Input, LastFrame, LineEvent, Written};

    use super::*;

    /// What it was told, and what it has to say.
    #[derive(Debug, Default)]
    struct Script {
        told: Vec<String>,
        outputs: VecDeque<Output>,
    }

    /// A gateway that does as the script says.
    struct Fake(Rc<RefCell<Script>>);

    impl Gateway for Fake {
        fn handle_input(&mut self, offset: u64, bytes: &[u8], _now: Duration) {
            self.0.borrow_mut().told.push(format!("{} bytes at {offset}", bytes.len()));
        }
        fn handle_line(&mut self, news: LineNews, _now: Duration) {
            self.0.borrow_mut().told.push(format!("{news:?}"));
        }
        fn handle_written(&mut self, outputs: u64, _now: Duration) {
            self.0.borrow_mut().told.push(format!("{outputs} written"));
        }
        fn handle_charge(&mut self, _posting: Posting, _now: Duration) {}
        fn handle_reply(&mut self, _number: u64, _reply: Reply, _now: Duration) {}
        fn handle_timeout(&mut self, _now: Duration) {}
        fn set_wall_clock(&mut self, _wall: WallClock) {}
        fn poll_write(&mut self) -> Option<Write> {
            None
        }
        fn poll_output(&mut self) -> Option<Output> {
            self.0.borrow_mut().outputs.pop_front()
        }
        fn poll_event(&mut self) -> Option<Notice> {
            None
        }
        fn poll_timeout(&self) -> Option<Duration> {
            None
        }
        fn wants_charge(&self) -> bool {
            false
        }
        fn ledger(&self) -> Option<&Ledger> {
            None
        }
        fn awaits_reply(&self) -> Option<u64> {
            None
        }
    }

    fn session(outputs: impl IntoIterator<Item = Output>) -> (Session, Rc<RefCell<Script>>) {
        let outputs = outputs.into_iter().collect();
        let script = Rc::new(RefCell::new(Script { outputs, ..Script::default() }));
        let grant = Grant {
            epoch: Epoch::new(1, 1),
            lease_ms: 400,
            incarnation: 7,
            acked: 100,
            delivered: 100,
            end: 100,
            position: 5000,
            last: LastFrame::default(),
            note: Bytes::new(),
            mac: [0; 32],
        };
        (Session::new("fias", &grant, Box::new(Fake(script.clone()))), script)
    }

    fn output(len: usize, ack: u64, note: Option<&'static str>) -> Output {
        Output { bytes: vec![b'x'; len].into(), ack, note: note.map(Bytes::from) }
    }

    fn frames(session: &mut Session) -> Vec<Frame> {
        std::iter::from_fn(|| session.poll_frame()).collect()
    }

    fn written(session: &mut Session, accepted: u64) {
        let frame = Frame::Written(Written { accepted, drained: accepted });
        session.handle_frame(frame, Duration::ZERO).unwrap();
    }

    #[test]
    fn outputs_leave_when_they_are_released_and_not_before() {
        let (mut session, _) = session([output(10, 120, Some("after"))]);
        assert_eq!(frames(&mut session), []);
        session.release();
        let note = Some(note::wrap("fias", 7, b"after"));
        let bytes = Bytes::from(vec![b'x'; 10]);
        let expected = wire::Output { position: 5000, ack: Some(120), note, bytes };
        assert_eq!(frames(&mut session), [Frame::Output(expected)]);
    }

    #[test]
    fn acknowledgements_in_a_row_are_one_and_none_is_sent_that_says_nothing() {
        let outputs = [output(0, 110, Some("old")), output(0, 130, None), output(0, 130, None)];
        let (mut session, script) = session(outputs);
        session.release();
        let note = Some(note::wrap("fias", 7, b"old"));
        assert_eq!(frames(&mut session), [Frame::Ack(Ack { offset: 130, note })]);
        script.borrow_mut().outputs.push_back(output(0, 130, None));
        session.release();
        assert_eq!(frames(&mut session), []);
    }

    #[test]
    fn an_acknowledgement_behind_an_output_stays_behind_it() {
        let (mut session, _) = session([output(3, 110, None), output(0, 130, Some("n"))]);
        session.release();
        let frames = frames(&mut session);
        assert!(matches!(&frames[..], [Frame::Output(_), Frame::Ack(_)]), "{frames:?}");
    }

    #[test]
    fn the_window_holds_outputs_back_and_written_ones_are_counted_whole() {
        let outputs = (0..5).map(|_| output(2000, 100, None));
        let (mut session, script) = session(outputs);
        session.release();
        assert_eq!(frames(&mut session).len(), 4, "8 KiB are on their way");
        written(&mut session, 5000 + 1999);
        assert_eq!(script.borrow().told, [""; 0]);
        written(&mut session, 5000 + 4001);
        assert_eq!(script.borrow().told, ["2 written"]);
        assert_eq!(frames(&mut session).len(), 1);
        written(&mut session, 5000 + 10_000);
        assert_eq!(script.borrow().told, ["2 written", "5 written"]);
    }

    #[test]
    fn what_happens_on_the_line_is_told_in_its_place() {
        let (mut session, script) = session([]);
        let bytes = Bytes::from_static(b"abc");
        let event = |kind| Frame::Event(LineEvent { offset: 120, kind });
        for frame in [
            Frame::Input(Input { offset: 100, bytes }),
            event(EventKind::Gap(17)),
            event(EventKind::Framing),
            event(EventKind::Down),
        ] {
            session.handle_frame(frame, Duration::ZERO).unwrap();
        }
        let expected = ["3 bytes at 100", "Gap { offset: 120 }", "Damage", "Down"];
        assert_eq!(script.borrow().told, expected);
        let misplaced =
            session.handle_frame(Frame::Ack(Ack { offset: 1, note: None }), Duration::ZERO);
        assert!(misplaced.unwrap_err().to_string().contains("no place here"));
    }
}
