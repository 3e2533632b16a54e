//! How the link comes up and goes down, inquiries, resync, numbers.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::super::posting::Guest;
use super::super::record::MAX_NUMBER;
use super::super::settings::Resync;
use super::super::{Gateway, Pms, Settings, generate};
use super::bench::{ACK, GatewayBench, NAK, PmsBench, frame};
use super::world::WALL;
use crate::billing_end::{BillingEnd, SimEvent};
use crate::gateway::{Gateway as _, HandledBy, Notice, Posting, Resume, Write};

const SECOND: Duration = Duration::from_secs(1);

fn kinds(bench: &GatewayBench) -> Vec<(&str, HandledBy)> {
    fn kind(write: &Write) -> Option<(&str, HandledBy)> {
        match write {
            Write::Receive(record) => Some((&record.kind, record.handled_by)),
            _ => None,
        }
    }
    bench.writes.iter().filter_map(kind).collect()
}

#[test]
fn a_gateway_that_knows_nothing_listens_for_three_seconds_and_then_starts() {
    let mut bench = GatewayBench::new(Settings::default());
    assert_eq!(bench.waits(3 * SECOND - SECOND / 100), b"");
    assert!(bench.waits(SECOND / 100).starts_with(b"\x02LS|"));
    assert_eq!(bench.hears(ACK), b"");
    assert!(!bench.gateway.wants_charge());
    // It is still known: there is nothing to describe.
    let said = bench.hears(&frame("LA|DA180618|TI123501|"));
    assert!(said.starts_with(b"\x06\x02LA|"), "{said:?}");
    assert!(bench.gateway.wants_charge());
    assert_eq!(bench.notices, [Notice::LinkUp]);
}

#[test]
fn a_start_that_nobody_answers_is_made_again_and_again() {
    let mut bench = GatewayBench::new(Settings::default());
    let said = bench.waits(33 * SECOND + SECOND / 2);
    let starts = said.windows(4).filter(|bytes| bytes == b"\x02LS|").count();
    assert_eq!(starts, 3, "{said:?}");
    let mut pms = PmsBench::alive();
    for _ in 0..3 {
        pms.pms.send(1, pms.now);
        assert_eq!(pms.says().first(), Some(&2));
        pms.waits(13 * SECOND);
    }
    assert!(pms.events.contains(&SimEvent::Link { up: false }));
    let said = pms.waits(26 * SECOND);
    assert!(said.windows(4).filter(|bytes| bytes == b"\x02LS|").count() >= 2, "{said:?}");
}

#[test]
fn what_the_other_end_tells_before_the_link_is_up_is_kept() {
    let mut bench = GatewayBench::new(Settings::default());
    assert_eq!(bench.hears(&frame("GI|RN101|")), ACK);
    assert_eq!(kinds(&bench), [("GI", HandledBy::Handler)]);
}

#[test]
fn a_link_that_is_ended_is_answered_and_started_again_by_whoever_speaks() {
    let mut bench = GatewayBench::alive(Settings::default());
    let said = bench.hears(&frame("LE|DA180618|TI123501|"));
    assert!(said.starts_with(b"\x06\x02LE|"), "{said:?}");
    assert_eq!(bench.hears(ACK), b"");
    assert!(!bench.gateway.wants_charge());
    assert!(matches!(bench.notices[..], [Notice::LinkDown { .. }]));
    // LS was missed.
    let said = bench.hears(&frame("GO|RN101|"));
    assert!(said.starts_with(b"\x06\x02LS|"), "{said:?}");
}

#[test]
fn three_records_in_a_row_that_nobody_takes_are_a_link_that_is_down() {
    let mut bench = GatewayBench::alive(Settings::default());
    bench.posts(1);
    let said = bench.waits(60 * SECOND);
    assert_eq!(said.windows(4).filter(|bytes| bytes == b"\x02PS|").count(), 2);
    assert!(bench.notices.iter().any(|notice| matches!(notice, Notice::LinkDown { .. })));
    assert!(said.windows(4).any(|bytes| bytes == b"\x02LS|"));
    // The charge is not forgotten.
    assert_eq!(bench.gateway.ledger().and_then(|l| l.outstanding()).map(|o| o.number), Some(1));
}

#[test]
fn a_charge_that_was_not_looked_at_while_the_link_was_down_is_sent_again() {
    let mut bench = GatewayBench::alive(Settings::default());
    let sent = bench.posts(1);
    assert_eq!(bench.hears(ACK), b"");
    bench.hears(&frame("LS|DA180618|TI123500|"));
    let mut said = bench.hears(ACK);
    while !said.starts_with(b"\x02LA|") {
        said = bench.hears(ACK);
    }
    bench.hears(ACK);
    assert_eq!(bench.hears(&frame("LA|DA180618|TI123501|")), [ACK, &sent].concat());
}

#[test]
fn a_gateway_that_knows_nothing_may_ask_for_all_guests() {
    let settings = Settings { resync: Resync::OnUnknown, ..Settings::default() };
    let mut bench = GatewayBench::new(settings);
    bench.waits(3 * SECOND);
    bench.hears(ACK);
    bench.hears(&frame("LA|DA180618|TI123501|"));
    let mut said = bench.hears(ACK);
    assert!(said.starts_with(b"\x02DR|"), "{said:?}");
    assert!(!bench.gateway.wants_charge());
    let mut pms = PmsBench::alive();
    // The two talk until neither has anything to say.
    while !said.is_empty() {
        let answer = pms.hears(&said);
        said = bench.hears(&answer);
    }
    let kinds: Vec<_> = kinds(&bench).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["DS", "GI", "GI", "GI", "GI", "GI", "DE"]);
    assert!(bench.gateway.wants_charge());
}

#[test]
fn while_the_other_end_tells_its_guests_nothing_is_sent() {
    let mut bench = GatewayBench::alive(Settings::default());
    assert_eq!(bench.hears(&frame("DS|DA180618|TI123501|")), ACK);
    assert!(!bench.gateway.wants_charge());
    assert_eq!(bench.hears(&frame("DE|DA180618|TI123502|")), ACK);
    assert!(bench.gateway.wants_charge());
    // DE may be lost.
    bench.hears(&frame("DS|DA180618|TI123503|"));
    bench.waits(31 * SECOND);
    assert!(bench.gateway.wants_charge());
}

#[test]
fn the_billing_system_knows_its_own_records_from_its_items() {
    let mut bench = PmsBench::alive();
    let mut said = bench.hears(&frame("DR|DA180618|TI123501|"));
    for _ in 0..7 {
        let answer = said.strip_prefix(ACK).unwrap_or(&said);
        let text = &answer[1..answer.len() - 2];
        assert!(bench.pms.is_own(text), "{}", text.escape_ascii());
        said = bench.hears(ACK);
    }
    assert_eq!(said, b"");
    for text in [&generate::item(1, 1)[..], b"NS|DA180618|TI12|DA180618|TI123501|", b"GI|"] {
        assert!(!bench.pms.is_own(text), "{}", text.escape_ascii());
    }
    assert!(bench.pms.is_own(b"NE|DA180618|TI123501|"));
}

#[test]
fn an_inquiry_finds_guests_who_may_then_be_charged() {
    let mut bench = PmsBench::alive();
    let Guest { room, reservation, name } = generate::guest(1, 0);
    let mut ask = |request: String| {
        let said = bench.hears(&frame(&request));
        bench.hears(ACK);
        String::from_utf8_lossy(&said).into_owned()
    };
    // Without an inquiry nobody may be charged.
    let charge = |n| format!("PR|WSW1|RN{room}|G#{reservation}|GN{name}|TA500|P#{n}|");
    assert_eq!(ask(charge(1)).as_bytes(), ACK);
    assert!(ask("PR|WSW1|PInone|P#2|".into()).contains("PA|WSW1|ASNG|P#2|"));
    let list = ask(format!("PR|WSW1|PI{room}|P#3|"));
    assert!(list.contains(&format!("PL|WSW1|RN{room}|G#{reservation}|GN{name}|")), "{list}");
    assert!(ask(charge(4)).contains("ASOK|P#4|"));
    // Parts that are not the sum.
    let wrong = format!("PR|WSW1|G#{reservation}|TA1000|S1800|D1-200|T1300|P#5|");
    assert!(ask(wrong).contains("ASDM|P#5|"));
    let right = format!("PR|WSW1|G#{reservation}|TA1000|S1800|D1-200|T1400|P#6|");
    assert!(ask(right).contains("ASOK|P#6|"));
    assert!(ask("PR|WSW1|G#1|TA5|".into()).contains("ASUR|"));
    let posted = |event: &&SimEvent| matches!(event, SimEvent::Posted { .. });
    assert_eq!(bench.events.iter().filter(posted).count(), 2);
}

#[test]
fn numbers_go_on_over_the_wrap() {
    let resume =
        Resume { acked: 0, note: None, cut: false, last_number: MAX_NUMBER - 2, wall: WALL };
    let now = 100 * SECOND;
    let mut gateway = Gateway::new(Settings::default(), resume, now);
    gateway.handle_input(0, &frame("LA|"), now);
    gateway.handle_input(6, ACK, now);
    let mut pms = PmsBench::alive();
    let mut offset = 6;
    for n in 1..=4 {
        let charge = generate::charge(1, n);
        gateway.handle_charge(Posting::New { id: n, charge }, now);
        for _ in 0..4 {
            let mut said = Vec::new();
            while let Some(output) = gateway.poll_output() {
                said.extend_from_slice(&output.bytes);
            }
            gateway.handle_written(u64::MAX, now);
            let charge = said.windows(4).position(|bytes| bytes == b"\x02PS|");
            let answer = pms.hears(charge.map_or(&said[..], |at| &said[at..]));
            gateway.handle_input(offset, &answer, now);
            offset += answer.len() as u64;
        }
    }
    let number = |event: &SimEvent| match event {
        SimEvent::Posted { number, .. } => Some(*number),
        SimEvent::Gap { .. } | SimEvent::Reordered { .. } => Some(0),
        _ => None,
    };
    let numbers: Vec<_> = pms.events.iter().filter_map(number).collect();
    assert_eq!(numbers, [MAX_NUMBER - 1, MAX_NUMBER, 1, 2]);
    assert_eq!(gateway.ledger().map(crate::Ledger::last), Some(MAX_NUMBER + 2));
}

#[test]
fn what_is_no_charge_for_now_is_not_taken() {
    let mut bench = GatewayBench::alive(Settings::default());
    let numbered = |number, key: &str| Posting::Numbered {
        number,
        key: key.to_owned(),
        text: "PS|RN1|".into(),
    };
    let key = "k".repeat(65);
    for posting in [numbered(0, "k"), numbered(7, ""), numbered(7, &key)] {
        bench.gateway.handle_charge(posting, bench.now);
        assert_eq!(bench.says(), b"");
        assert!(matches!(bench.notices.pop(), Some(Notice::Unexpected { .. })));
    }
    bench.gateway.handle_charge(numbered(7, "k"), bench.now);
    assert_eq!(bench.says(), frame("PS|RN1|"));
    bench.gateway.handle_charge(numbered(8, "l"), bench.now);
    assert_eq!(bench.says(), b"");
    assert!(matches!(bench.notices.pop(), Some(Notice::Unexpected { .. })));
}

#[test]
fn a_billing_system_s_memory_has_bounds() {
    let mut pms = Pms::new(Settings::default(), 1, WALL, SECOND);
    for serial in 1..=100_001 {
        pms.send(serial, SECOND);
    }
    assert_eq!(pms.backlog(), 100_000);
    let events: Vec<_> = std::iter::from_fn(|| pms.poll_event()).collect();
    assert!(events.contains(&SimEvent::Overwritten { serial: 2 }));
    assert_eq!(events.len(), 100_002);
}

#[test]
fn a_wrong_check_is_answered_at_once_and_kept_for_nobody() {
    let mut bench = GatewayBench::alive(Settings::default());
    assert_eq!(bench.hears(b"\x02GI|RN101|\x03\x00"), NAK);
    assert_eq!(kinds(&bench), []);
    assert!(matches!(bench.notices[..], [Notice::BadCheck { .. }]));
    assert_eq!(bench.hears(&frame("PL|P#1|")), ACK);
    assert_eq!(bench.hears(&frame("no type")), ACK);
    assert_eq!(kinds(&bench), [("PL", HandledBy::Nobody), ("?", HandledBy::Nobody)]);
}
