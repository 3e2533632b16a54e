//! The rules of the link, one by one, at both ends.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::super::Settings;
use super::super::frame::{Check, encode};
use super::super::settings::Exhausted;
use super::bench::{ACK, ENQ, GatewayBench, NAK, PmsBench, frame};
use crate::billing_end::{BillingEnd, SimEvent};
use crate::gateway::{Gateway as _, LineNews, Notice, Write};

const SECOND: Duration = Duration::from_secs(1);

fn receives(bench: &GatewayBench) -> usize {
    bench.writes.iter().filter(|write| matches!(write, Write::Receive(_))).count()
}

#[test]
fn an_enquiry_at_the_start_is_refused() {
    let mut bench = GatewayBench::new(Settings::default());
    assert_eq!(bench.hears(ENQ), NAK);
}

#[test]
fn an_enquiry_gets_the_last_answer_again() {
    let mut bench = GatewayBench::alive(Settings::default());
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    bench.waits(3 * SECOND);
    assert_eq!(bench.hears(ENQ), ACK);
    assert_eq!(bench.hears(ENQ), ACK);
    assert_eq!(bench.hears(b"\x02GI|RN102|\x03\x00"), NAK);
    assert_eq!(bench.hears(ENQ), NAK);
    assert_eq!(receives(&bench), 1);
}

#[test]
fn an_enquiry_that_no_rule_allows_any_more_is_refused() {
    let mut bench = GatewayBench::alive(Settings::default());
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    bench.waits(12 * SECOND);
    assert_eq!(bench.hears(ENQ), NAK);
}

#[test]
fn any_byte_but_an_enquiry_makes_the_last_answer_a_refusal() {
    for byte in [b"x", ACK, NAK, b"\x02", b"\x11"] {
        let mut bench = GatewayBench::alive(Settings::default());
        assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
        bench.hears(byte);
        assert_eq!(bench.hears(ENQ), NAK, "{byte:?}");
        // The record comes again, and is not taken twice.
        assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
        assert_eq!(receives(&bench), 1);
        assert!(bench.notices.contains(&Notice::Repeated { number: None }));
    }
}

#[test]
fn the_same_record_after_another_one_is_new() {
    let mut bench = GatewayBench::alive(Settings::default());
    for text in ["GO|RN101|", "GI|RN101|", "GO|RN101|"] {
        assert_eq!(bench.hears(&frame(text)), ACK);
    }
    bench.waits(60 * SECOND);
    assert_eq!(bench.hears(&frame("GO|RN101|")), ACK);
    assert_eq!(receives(&bench), 4);
}

#[test]
fn without_an_answer_it_enquires_three_times_and_gives_up() {
    let mut bench = PmsBench::alive();
    bench.pms.send(1, bench.now);
    assert!(bench.says().starts_with(b"\x02GI|"));
    assert_eq!(bench.waits(3 * SECOND - SECOND / 100), b"");
    assert_eq!(bench.waits(SECOND / 100), ENQ);
    assert_eq!(bench.waits(6 * SECOND), b"\x05\x05");
    assert_eq!(bench.waits(3 * SECOND), b"");
    assert!(bench.events.contains(&SimEvent::GaveUp { serial: 1 }));
}

#[test]
fn or_it_sends_the_record_again_as_the_published_log_shows() {
    let settings = Settings { on_enq_exhausted: Exhausted::Resend, ..Settings::default() };
    let mut bench = GatewayBench::alive(settings);
    let sent = bench.posts(1);
    let cycle = [b"\x05\x05\x05", &sent[..]].concat();
    assert_eq!(bench.waits(12 * SECOND), cycle);
    assert_eq!(bench.waits(36 * SECOND), [&cycle, &cycle, &b"\x05\x05\x05"[..]].concat());
    assert!(bench.notices.contains(&Notice::GaveUp { number: Some(1) }));
}

#[test]
fn a_refused_record_is_sent_four_times() {
    let mut bench = GatewayBench::alive(Settings::default());
    let sent = bench.posts(1);
    for _ in 0..3 {
        assert_eq!(bench.hears(NAK), sent);
    }
    assert_eq!(bench.hears(NAK), b"");
    assert!(bench.notices.contains(&Notice::GaveUp { number: Some(1) }));
    assert_eq!(bench.waits(10 * SECOND), sent);
}

#[test]
fn a_byte_that_is_no_answer_is_reason_to_enquire() {
    let mut bench = GatewayBench::alive(Settings::default());
    bench.posts(1);
    assert_eq!(bench.hears(b"???"), b"");
    assert_eq!(bench.waits(SECOND), ENQ);
    assert_eq!(bench.hears(ACK), b"");
    assert_eq!(bench.waits(20 * SECOND), b"");
}

#[test]
fn an_answer_may_come_while_a_record_is_being_received() {
    let mut bench = GatewayBench::alive(Settings::default());
    bench.posts(1);
    // What is inside a record is not an answer: its bytes are damaged.
    assert_eq!(bench.hears(b"\x02GI|RN1\x0601|\x03\x06"), NAK);
    assert_eq!(bench.hears(ACK), b"");
    assert_eq!(bench.hears(&frame("PA|ASOK|P#1|")), ACK);
    assert!(matches!(bench.writes.last(), Some(Write::Settle { number: 1, .. })));
}

#[test]
fn an_answer_that_overtakes_the_news_of_our_own_last_byte_counts() {
    use crate::gateway::Posting;
    let mut bench = GatewayBench::alive(Settings::default());
    let charge = super::super::generate::charge(1, 1);
    bench.gateway.handle_charge(Posting::New { id: 1, charge }, bench.now);
    assert!(bench.gateway.poll_output().is_some());
    bench.gateway.handle_input(bench.acked, ACK, bench.now);
    assert_eq!(bench.waits(SECOND), b"");
    // Only now it hears that the record has left.
    bench.gateway.handle_written(u64::MAX, bench.now);
    assert_eq!(bench.waits(20 * SECOND), b"");
}

#[test]
fn a_record_that_stops_is_dropped_after_twice_the_longest_one_s_time() {
    let mut bench = GatewayBench::alive(Settings::default());
    bench.hears(b"\x02GI|RN1");
    bench.waits(4 * SECOND);
    assert_eq!(bench.notices, []);
    bench.waits(SECOND);
    assert!(matches!(bench.notices[..], [Notice::Partial { .. }]), "{:?}", bench.notices);
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
}

#[test]
fn a_damaged_record_is_refused() {
    let mut bench = GatewayBench::alive(Settings::default());
    let whole = frame("GI|RN101|");
    bench.hears(&whole[..4]);
    bench.gateway.handle_line(LineNews::Damage, bench.now);
    assert_eq!(bench.hears(&whole[4..]), NAK);
    assert_eq!(bench.hears(&whole), ACK);
}

#[test]
fn nothing_is_spliced_across_a_gap() {
    let mut bench = GatewayBench::alive(Settings::default());
    let whole = frame("GI|RN101|");
    bench.hears(&whole[..4]);
    let offset = bench.acked + 100;
    bench.gateway.handle_line(LineNews::Gap { offset }, bench.now);
    bench.gateway.handle_input(offset, &whole[4..], bench.now);
    assert_eq!(bench.says(), b"");
    assert_eq!(receives(&bench), 0);
    assert!(matches!(bench.notices[0], Notice::Partial { .. }));
}

/// A device that was away: offsets go on as if nothing was missing, and without a check the bytes
/// behind it would do.
#[test]
fn nothing_is_spliced_while_the_device_was_away() {
    for check in [Check::Lrc, Check::None] {
        for cut in 1..10 {
            let settings = Settings { check, ..Settings::default() };
            let mut bench = GatewayBench::alive(settings);
            let whole = encode(b"GI|RN101|", check);
            bench.hears(&whole[..cut]);
            let offset = bench.offset;
            for news in [LineNews::Down, LineNews::Gap { offset }, LineNews::Up] {
                bench.gateway.handle_line(news, bench.now);
            }
            bench.hears(&whole[cut..]);
            assert_eq!(receives(&bench), 0, "{check:?} {cut}");
            // Without a gap the record goes on behind flow control; it is asked for once more.
            bench.waits(5 * SECOND);
            bench.hears(&whole[..cut]);
            bench.gateway.handle_line(LineNews::Down, bench.now);
            bench.gateway.handle_line(LineNews::Up, bench.now);
            assert_eq!(bench.hears(&whole[cut..]), NAK, "{check:?} {cut}");
            assert_eq!(bench.hears(&whole), ACK, "{check:?} {cut}");
            assert_eq!(receives(&bench), 1, "{check:?} {cut}");
        }
    }
}

/// The published rule, that the answer is always ACK then, is about what a receiver can't see.
#[test]
fn without_a_check_only_what_is_visibly_damaged_is_refused() {
    let settings = Settings { check: Check::None, ..Settings::default() };
    let mut bench = GatewayBench::alive(settings);
    assert_eq!(bench.hears(b"\x02GI|RN1?1|\x03"), ACK);
    assert_eq!(bench.hears(b"\x02G\x01|RN101|\x03"), NAK);
    bench.hears(b"\x02GI|RN");
    bench.gateway.handle_line(LineNews::Damage, bench.now);
    assert_eq!(bench.hears(b"101|\x03"), NAK);
    assert_eq!(receives(&bench), 1);
    assert_eq!(bench.hears(b"\x02GI|RN101|\x03"), ACK);
    assert_eq!(receives(&bench), 2);
}

#[test]
fn a_record_may_have_two_thousand_bytes_and_no_more() {
    for (length, answer) in [(2000, ACK), (2001, NAK), (5000, NAK)] {
        let mut bench = GatewayBench::alive(Settings::default());
        let text = format!("GI|GN{}|", "x".repeat(length - 6));
        assert_eq!(bench.hears(&frame(&text)), answer, "{length}");
    }
}

#[test]
fn a_check_by_position_may_be_any_byte() {
    for (room, check) in [("1069", 2), ("1068", 3), ("1008", 5), ("1029", 6)] {
        let mut bench = GatewayBench::alive(Settings::default());
        let frame = frame(&format!("GI|RN{room}|GNDoe|GSN|"));
        assert_eq!(frame.last(), Some(&check));
        assert_eq!(bench.hears(&frame), ACK);
        assert_eq!(receives(&bench), 1);
    }
}
