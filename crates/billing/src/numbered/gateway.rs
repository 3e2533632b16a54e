//! The end of the line that answers.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use super::frame::answer_for;
use super::parser::{Parser, Received};
use crate::engine::{LinkEngine, Transmit};

/// Answers every whole record once, and says which offset each answer acknowledges.
///
/// It keeps nothing about records already answered: not to answer twice is the work of the offset,
/// which moves with the answer ([`Transmit::ack`]). A successor starts at the last acknowledged
/// offset and so repeats exactly the answers that did not leave.
///
/// Answers carry the acknowledgement of damaged bytes before their record, too. Damage with no
/// record after it is in [`Gateway::unanswered_damage`].
#[derive(Debug)]
pub struct Gateway {
    parser: Parser,
    events: VecDeque<Received>,
    transmits: VecDeque<Transmit>,
    unanswered_damage: Option<u64>,
    answered: u64,
}

impl Gateway {
    /// A gateway whose next input byte has the offset `offset`; a record boundary, or inside a
    /// record whose beginning is lost, which is then reported as damaged and not answered.
    pub fn new(offset: u64) -> Self {
        Self {
            parser: Parser::new(offset),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            unanswered_damage: None,
            answered: 0,
        }
    }

    /// Takes input that is addressed by offset. Bytes already seen are skipped; an offset later
    /// than expected is a gap, across which no record is spliced.
    pub fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        self.handle_gap(offset);
        let seen = self.offset().saturating_sub(offset);
        let seen = usize::try_from(seen).unwrap_or(usize::MAX).min(bytes.len());
        self.handle_bytes(&bytes[seen..], now);
    }

    /// Takes notice that input before `offset` that has not arrived never will.
    pub fn handle_gap(&mut self, offset: u64) {
        self.parser.resume_at(offset);
        self.drain_parser();
    }

    /// Offset of the next input byte expected.
    pub fn offset(&self) -> u64 {
        self.parser.offset()
    }

    /// Records answered since the start of this value.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// End offset of damaged bytes that no answer has acknowledged yet. The next answer will. On a
    /// line that carries only noise the owner may acknowledge it alone, but only when every answer
    /// handed out before has left: a bare acknowledgement overtakes answers still queued, and a
    /// takeover between the two would lose them.
    pub fn unanswered_damage(&self) -> Option<u64> {
        self.unanswered_damage
    }

    fn drain_parser(&mut self) {
        while let Some(event) = self.parser.poll_event() {
            match &event {
                Received::Record { record, end, .. } => {
                    let bytes = answer_for(record).into();
                    self.transmits.push_back(Transmit { bytes, ack: Some(*end) });
                    self.unanswered_damage = None;
                    self.answered += 1;
                }
                // An answer coming towards the gateway (an echo, a loop-back plug) asks nothing.
                Received::Answer { end, .. } | Received::Damaged { end, .. } => {
                    self.unanswered_damage = Some(*end);
                }
            }
            self.events.push_back(event);
        }
    }
}

impl LinkEngine for Gateway {
    type Event = Received;

    fn handle_bytes(&mut self, bytes: &[u8], _now: Duration) {
        self.parser.handle_bytes(bytes);
        self.drain_parser();
    }

    fn handle_timeout(&mut self, _now: Duration) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Received> {
        self.events.pop_front()
    }

    /// Always `None`: the dialect has no timers.
    fn poll_timeout(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, record, record_bytes};
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::ZERO;

    fn transmits(gateway: &mut Gateway) -> Vec<Transmit> {
        std::iter::from_fn(|| gateway.poll_transmit()).collect()
    }

    #[test]
    fn each_answer_acknowledges_its_own_record() {
        let (one, two) = (record_bytes(1, 1), record_bytes(1, 2));
        let mut gateway = Gateway::new(500);
        gateway.handle_bytes(&[&one[..], &two].concat(), NOW);
        let (end_one, end_two) = (500 + one.len() as u64, 500 + (one.len() + two.len()) as u64);
        let expected = [
            Transmit { bytes: answer_for(&record(1, 1)).into(), ack: Some(end_one) },
            Transmit { bytes: answer_for(&record(1, 2)).into(), ack: Some(end_two) },
        ];
        assert_eq!(transmits(&mut gateway), expected);
    }

    #[test]
    fn a_successor_at_the_acknowledged_offset_repeats_nothing() {
        let stream: Vec<u8> = (1..=4).flat_map(|n| record_bytes(1, n)).collect();
        let mut first = Gateway::new(0);
        first.handle_bytes(&stream[..stream.len() - 3], NOW);
        let sent = transmits(&mut first);
        let acked = sent[1].ack.unwrap();
        let mut second = Gateway::new(acked);
        second.handle_input(acked, &stream[acked as usize..], NOW);
        let bytes: Vec<_> = transmits(&mut second).into_iter().map(|t| t.bytes).collect();
        assert_eq!(bytes, [answer_for(&record(1, 3)), answer_for(&record(1, 4))]);
    }

    #[test]
    fn input_seen_before_is_skipped_and_a_gap_is_never_spliced() {
        let one = record_bytes(1, 1);
        let mut gateway = Gateway::new(0);
        gateway.handle_input(0, &one[..20], NOW);
        gateway.handle_input(10, &one[10..], NOW);
        assert_eq!(transmits(&mut gateway).len(), 1);
        // The middle is lost: neither half may make a record with the other.
        let at = one.len() as u64;
        gateway.handle_input(at, &one[..10], NOW);
        gateway.handle_input(at + 12, &one[12..], NOW);
        assert_eq!(transmits(&mut gateway), []);
        assert_eq!(gateway.unanswered_damage(), Some(at + one.len() as u64));
        gateway.handle_bytes(&record_bytes(1, 2), NOW);
        assert_eq!(transmits(&mut gateway).len(), 1);
        assert_eq!(gateway.unanswered_damage(), None);
    }

    #[test]
    fn both_ends_in_one_loop() {
        let (mut source, mut gateway) = (Source::new(), Gateway::new(0));
        for n in 1..=50 {
            source.send(&record(2, n));
        }
        while let Some(transmit) = source.poll_transmit() {
            gateway.handle_bytes(&transmit.bytes, NOW);
        }
        while let Some(transmit) = gateway.poll_transmit() {
            source.handle_bytes(&transmit.bytes, NOW);
        }
        for n in 1..=50 {
            let Some(Received::Answer { answer, .. }) = source.poll_event() else { panic!() };
            assert_eq!((answer.number, answer.digest), (n, record(2, n).digest()));
        }
        assert_eq!(source.poll_event(), None);
    }

    proptest! {
        #[test]
        fn acknowledgements_only_grow_and_never_pass_the_input(
            stream in prop::collection::vec(
                prop_oneof![
                    (0..100u32).prop_map(|n| record_bytes(5, n)),
                    prop::collection::vec(any::<u8>(), 0..50),
                ], 0..20),
        ) {
            let mut gateway = Gateway::new(3);
            let mut acked = 3;
            for piece in &stream {
                gateway.handle_bytes(piece, NOW);
                for transmit in transmits(&mut gateway) {
                    let ack = transmit.ack.unwrap();
                    prop_assert!(ack > acked && ack <= gateway.offset());
                    acked = ack;
                }
            }
        }
    }
}
