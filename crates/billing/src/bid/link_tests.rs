#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::check::{Check, frame};
use super::link::MAX_WAITS;
use super::scan::Answer;
use super::{Event, Link, Profile};
use crate::{cable, hx};

const TEXT: &[u8] = b"000417 AU 2781 39 ADD";
const ENQ: &[u8] = b"\x05";
const EOT: &[u8] = b"\x04";

/// A link with its clock; what it sends leaves at once.
struct End {
    link: Link,
    now: Duration,
    taken: u64,
}

impl End {
    fn new(profile: Profile) -> Self {
        Self { link: Link::new(profile, 0), now: Duration::ZERO, taken: 0 }
    }

    fn cable(yields: bool) -> Self {
        Self::new(cable::Settings::default().profile(yields))
    }

    fn hx(receives: bool) -> Self {
        Self::new(hx::Settings::default().profile(receives))
    }

    /// Frames since the last call, and what happened. Texts are accepted.
    fn drain(&mut self) -> (Vec<Bytes>, Vec<Event>) {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        loop {
            while let Some(event) = self.link.poll_event() {
                if matches!(event, Event::Text { .. }) {
                    self.link.accept();
                }
                events.push(event);
            }
            if let Some(bytes) = self.link.take_transmit() {
                frames.push(bytes);
                self.taken += 1;
                self.link.handle_written(self.taken, self.now);
            }
            if !self.link.advance(self.now) {
                return (frames, events);
            }
        }
    }

    fn send(&mut self) -> Vec<Bytes> {
        self.link.send(Bytes::from_static(TEXT));
        self.drain().0
    }

    fn hear(&mut self, bytes: &[u8]) -> (Vec<Bytes>, Vec<Event>) {
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        for byte in bytes {
            self.link.handle_byte(*byte, self.now);
            let (more, news) = self.drain();
            frames.extend(more);
            events.extend(news);
        }
        (frames, events)
    }

    fn say(&mut self, answer: Answer) -> (Vec<Bytes>, Vec<Event>) {
        self.hear(&answer.bytes())
    }

    /// Lets the next timer fire: how long that took, and what was sent.
    fn expire(&mut self) -> (u64, Vec<Bytes>, Vec<Event>) {
        let due = self.link.poll_timeout().unwrap();
        let waited = (due - self.now).as_secs();
        self.now = due;
        self.link.handle_timeout(self.now);
        let (frames, events) = self.drain();
        (waited, frames, events)
    }
}

#[test]
fn matrix_timing_of_bids() {
    // Silence: four bids, 5 s apart.
    let mut sender = End::hx(false);
    assert_eq!(sender.send(), [ENQ]);
    for _ in 0..3 {
        assert_eq!(sender.expire(), (5, vec![Bytes::from_static(ENQ)], vec![]));
    }
    assert_eq!(sender.expire(), (5, vec![], vec![Event::GaveUp { silent: true }]));
    assert_eq!(sender.link.poll_timeout(), None);
    // NAK: four of them, each followed by a bid after 5 s.
    sender.send();
    for _ in 0..3 {
        assert_eq!(sender.say(Answer::Nak).0, [ENQ; 0]);
        assert_eq!(sender.expire(), (5, vec![Bytes::from_static(ENQ)], vec![]));
    }
    let (_, events) = sender.say(Answer::Nak);
    assert_eq!(events, [Event::Answered, Event::GaveUp { silent: false }]);
}

#[test]
fn matrix_timing_of_texts() {
    let text = frame(Check::Xor, TEXT);
    let mut sender = End::hx(false);
    sender.send();
    // NAK: 3 s, a new bid, the text again; three in all.
    for _ in 0..2 {
        assert_eq!(sender.say(Answer::Ack).0, [&text]);
        assert_eq!(sender.say(Answer::Nak).0, [ENQ; 0]);
        assert_eq!(sender.expire(), (3, vec![Bytes::from_static(ENQ)], vec![]));
    }
    assert_eq!(sender.say(Answer::Ack).0, [&text]);
    assert_eq!(sender.say(Answer::Nak).1.last(), Some(&Event::GaveUp { silent: false }));
    // Silence: 11 s, then the same.
    sender.send();
    for _ in 0..2 {
        assert_eq!(sender.say(Answer::Ack).0, [&text]);
        assert_eq!(sender.expire(), (11, vec![Bytes::from_static(ENQ)], vec![]));
    }
    assert_eq!(sender.say(Answer::Ack).0, [&text]);
    assert_eq!(sender.expire(), (11, vec![], vec![Event::GaveUp { silent: true }]));
}

#[test]
fn the_parity_of_a_repeated_answer_says_whether_the_text_arrived() {
    let text = frame(Check::Xor, TEXT);
    for (answer, frames) in [(Answer::Ack1, EOT), (Answer::Ack0, &text), (Answer::Nak, &text)] {
        let mut sender = End::cable(true);
        sender.send();
        assert_eq!(sender.say(Answer::Ack0).0, [&text]);
        assert_eq!(sender.expire(), (3, vec![Bytes::from_static(ENQ)], vec![]));
        assert_eq!(sender.say(answer).0, [frames], "{answer:?}");
    }
}

#[test]
fn three_questions_without_an_answer_end_in_eot() {
    let mut sender = End::cable(true);
    sender.send();
    sender.say(Answer::Ack0);
    for _ in 0..3 {
        assert_eq!(sender.expire(), (3, vec![Bytes::from_static(ENQ)], vec![]));
    }
    let (_, frames, events) = sender.expire();
    assert_eq!(
        (&frames[..], &events[..]),
        (&[EOT.into()][..], &[Event::GaveUp { silent: true }][..])
    );
}

#[test]
fn an_answer_before_the_last_byte_has_left_answers_nothing() {
    let mut sender = End::hx(false);
    sender.link.send(Bytes::from_static(TEXT));
    assert!(sender.link.advance(sender.now));
    assert!(sender.link.take_transmit().is_some());
    sender.link.handle_byte(0x06, sender.now);
    assert_eq!(sender.link.poll_event(), Some(Event::Late { bytes: Answer::Ack.bytes() }));
    // No timer runs either, however long the line is held back.
    assert_eq!(sender.link.poll_timeout(), None);
    sender.link.handle_written(1, Duration::from_secs(60));
    assert_eq!(sender.link.poll_timeout(), Some(Duration::from_secs(65)));
}

#[test]
fn an_answer_to_each_of_two_bids_does_not_confirm_the_text() {
    let text = frame(Check::Xor, TEXT);
    let mut sender = End::hx(false);
    sender.send();
    sender.expire();
    // A busy peer answers both bids at once. The text is damaged on its way.
    assert_eq!(sender.say(Answer::Ack), (vec![], vec![Event::Answered]));
    let late = Event::Late { bytes: Answer::Ack.bytes() };
    assert_eq!(sender.say(Answer::Ack), (vec![], vec![late]));
    assert_eq!(sender.expire(), (0, vec![text.clone()], vec![Event::Sending]));
    assert_eq!(sender.say(Answer::Nak), (vec![], vec![Event::Answered]));
    assert_eq!(sender.expire().1, [ENQ]);
    assert_eq!(sender.say(Answer::Ack).0, [text]);
    assert_eq!(sender.say(Answer::Ack).1.last(), Some(&Event::Delivered));
}

#[test]
fn wait_is_believed_for_a_time() {
    let mut sender = End::cable(true);
    sender.send();
    sender.say(Answer::Ack0);
    for _ in 0..MAX_WAITS {
        assert_eq!(sender.say(Answer::Wack).0, [ENQ; 0]);
        assert_eq!(sender.expire().1, [ENQ]);
    }
    assert_eq!(sender.say(Answer::Wack).1.last(), Some(&Event::GaveUp { silent: false }));
    // In answer to a bid it is no failed attempt.
    let mut sender = End::cable(true);
    sender.send();
    for _ in 0..MAX_WAITS {
        sender.say(Answer::Wack);
        assert_eq!(sender.expire().1, [ENQ]);
    }
    assert_eq!(sender.say(Answer::Ack0).0, [frame(Check::Xor, TEXT)]);
}

#[test]
fn an_interrupt_delivers_the_text_and_leaves_the_line_to_the_peer() {
    let mut sender = End::cable(true);
    sender.send();
    sender.say(Answer::Ack0);
    let (frames, events) = sender.say(Answer::Rvi);
    assert_eq!((&frames[..], events.last()), (&[EOT.into()][..], Some(&Event::Delivered)));
    assert_eq!(sender.send(), [ENQ; 0]);
    assert_eq!(sender.hear(ENQ).0, [Answer::Ack0.bytes()]);
    assert_eq!(sender.hear(EOT).0, [ENQ; 0]);
    assert_eq!(sender.expire(), (6, vec![Bytes::from_static(ENQ)], vec![]));
}

#[test]
fn when_both_bid_the_billing_system_gives_way_and_bids_again() {
    let (mut billing, mut gateway) = (End::cable(true), End::cable(false));
    assert_eq!((billing.send(), gateway.send()), (vec![ENQ.into()], vec![ENQ.into()]));
    assert_eq!(gateway.hear(ENQ).0, [ENQ; 0]);
    assert_eq!(billing.hear(ENQ).0, [Answer::Ack0.bytes()]);
    let (text, _) = gateway.say(Answer::Ack0);
    let (answer, events) = billing.hear(&text[0]);
    assert!(matches!(events[..], [Event::Text { .. }]), "{events:?}");
    let (eot, _) = gateway.hear(&answer[0]);
    assert_eq!(eot, [EOT]);
    assert_eq!(billing.hear(EOT).0, [ENQ]);
}

#[test]
fn texts_of_one_conversation_are_answered_in_turn_and_eot_begins_anew() {
    let mut receiver = End::cable(false);
    let text = frame(Check::Xor, TEXT);
    receiver.hear(ENQ);
    for answer in [Answer::Ack1, Answer::Ack0, Answer::Ack1] {
        assert_eq!(receiver.hear(&text).0, [answer.bytes()]);
        assert_eq!(receiver.hear(ENQ).0, [answer.bytes()], "asked again");
    }
    receiver.hear(EOT);
    assert_eq!(receiver.hear(ENQ).0, [Answer::Ack0.bytes()]);
}

#[test]
fn a_lost_eot_is_made_up_for_by_the_next_bid() {
    let mut receiver = End::cable(false);
    receiver.hear(ENQ);
    receiver.hear(&frame(Check::Xor, TEXT));
    // The EOT is lost: the next bid is taken for a question, and its answer tells.
    let mut sender = End::cable(true);
    let bid = sender.send();
    let (answer, _) = receiver.hear(&bid[0]);
    assert_eq!(answer, [Answer::Ack1.bytes()]);
    let (frames, _) = sender.hear(&answer[0]);
    assert_eq!(frames, [EOT, ENQ]);
    assert_eq!(receiver.hear(&frames.concat()).0, [Answer::Ack0.bytes()]);
}

#[test]
fn a_bad_text_is_refused_and_a_text_nobody_bid_for_is_not_taken() {
    let mut receiver = End::cable(false);
    let text = frame(Check::Xor, TEXT);
    assert_eq!(receiver.hear(&text).0, [ENQ; 0]);
    receiver.hear(ENQ);
    let mut bad = text.to_vec();
    bad[5] ^= 1;
    let (frames, events) = receiver.hear(&bad);
    assert_eq!(frames, [Answer::Nak.bytes()]);
    assert!(matches!(events[..], [Event::BadCheck { .. }]), "{events:?}");
    assert_eq!(receiver.hear(&text).0, [Answer::Ack1.bytes()]);
}

#[test]
fn a_receiver_whose_sender_falls_silent_is_free_again() {
    let mut receiver = End::cable(false);
    receiver.hear(ENQ);
    receiver.hear(&frame(Check::Xor, TEXT)[..7]);
    receiver.link.send(Bytes::from_static(b"000416 OK"));
    let (waited, frames, events) = receiver.expire();
    assert_eq!((waited, frames.len()), (3, 0));
    assert!(matches!(events[..], [Event::Partial { inside: false, .. }]), "{events:?}");
    assert_eq!(receiver.expire(), (3, vec![Bytes::from_static(ENQ)], vec![]));
}
