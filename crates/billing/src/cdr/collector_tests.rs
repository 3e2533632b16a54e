//! Stories of a collector, alone and across takeovers.

use super::super::Exchange;
use super::*;
use crate::billing_end::BillingEnd;
use crate::civil::Civil;
use crate::settings::Settings;
use proptest::prelude::*;

const T0: Duration = Duration::from_secs(1000);

fn wall() -> WallClock {
    let noon: Civil = "2018-06-18T12:00:00".parse().unwrap();
    WallClock { at_boot: noon.seconds() - 1000 }
}

fn settings(layout: &str) -> CdrSettings {
    let mut settings = CdrSettings::default();
    settings.set("layout", layout).unwrap();
    settings
}

fn collector(settings: &CdrSettings, acked: u64, note: Option<Bytes>) -> Collector {
    let resume = Resume { acked, note, cut: false, last_number: 0, wall: wall() };
    Collector::new(settings, resume, T0)
}

/// What an exchange prints for so many calls, and the texts of the calls.
fn printed(settings: &CdrSettings, calls: u64) -> (Vec<u8>, Vec<Bytes>) {
    let mut exchange = Exchange::new(settings.clone(), 1, wall(), T0);
    let (mut bytes, mut texts, mut count) = (Vec::new(), Vec::new(), 0);
    for serial in 1..=calls {
        exchange.send(serial, T0);
        while let Some(frame) = exchange.poll_transmit() {
            count += 1;
            bytes.extend_from_slice(&frame);
            exchange.handle_written(count, T0);
        }
    }
    while let Some(event) = exchange.poll_event() {
        if let crate::SimEvent::Queued { text, .. } = event {
            texts.push(text);
        }
    }
    (bytes, texts)
}

/// Calls alone, so that a place in the bytes is a place in a record.
fn without_titles(layout: &str) -> CdrSettings {
    let mut settings = settings(layout);
    settings.set("page", "off").unwrap();
    settings
}

fn records(collector: &mut Collector) -> Vec<Record> {
    std::iter::from_fn(|| collector.poll_write())
        .map(|write| match write {
            Write::Receive(record) => record,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn texts(records: &[Record], kind: &str) -> Vec<Bytes> {
    records.iter().filter(|record| record.kind == kind).map(|r| r.text.clone()).collect()
}

fn notices(collector: &mut Collector) -> Vec<Notice> {
    std::iter::from_fn(|| collector.poll_event()).collect()
}

#[test]
fn many_records_of_one_input_are_acknowledged_together() {
    let settings = settings("teleseer");
    let (bytes, calls) = printed(&settings, 20);
    let mut collector = collector(&settings, 500, None);
    collector.handle_input(500, &bytes, T0);
    let records = records(&mut collector);
    assert_eq!(texts(&records, kind::CALL), calls);
    assert_eq!((records[1].start, records[1].end), (581, 581 + 77));
    assert!(records.iter().all(|record| record.handled_by == HandledBy::Handler));
    let output = collector.poll_output().unwrap();
    assert_eq!((output.bytes.len(), output.ack), (0, 500 + bytes.len() as u64));
    assert_eq!(collector.poll_output(), None);
    assert_eq!(notices(&mut collector), []);
}

#[test]
fn an_exchange_and_a_collector_agree_in_every_layout() {
    for layout in Layout::all() {
        let mut settings = settings(&layout.name);
        settings.set("title", "CALL RECORDS").unwrap();
        let (bytes, calls) = printed(&settings, 300);
        let mut collector = collector(&settings, 0, None);
        collector.handle_input(0, &bytes, T0);
        let records = records(&mut collector);
        assert_eq!(texts(&records, kind::CALL), calls, "{}", layout.name);
        let titles = if layout.page.is_some() { 5 * 3 } else { 0 };
        assert_eq!(records.len(), calls.len() + titles, "{}", layout.name);
        assert_eq!(texts(&records, kind::TITLE).len(), titles);
        assert_eq!(notices(&mut collector), [], "{}", layout.name);
        assert_eq!(collector.poll_output().map(|output| output.ack), Some(bytes.len() as u64));
    }
}

/// The terminal server keeps ack and note; whoever comes next begins there.
#[test]
fn a_kill_at_every_byte_loses_and_doubles_and_tears_nothing() {
    for layout in Layout::all() {
        let mut settings = settings(&layout.name);
        // Short pages, so that several lie within the bytes of the story.
        if layout.page.is_some() {
            settings.set("page", "3/8").unwrap();
            settings.set("title", "CALL RECORDS").unwrap();
        }
        let (bytes, calls) = printed(&settings, 12);
        for chunk in [1, 7, 64] {
            let (mut acked, mut note) = (0, None);
            let mut all = Vec::new();
            let mut collector = collector(&settings, 0, None);
            for from in (0..bytes.len()).step_by(chunk) {
                let to = bytes.len().min(from + chunk);
                collector.handle_input(from as u64, &bytes[from..to], T0);
                all.extend(records(&mut collector));
                if let Some(output) = collector.poll_output() {
                    acked = output.ack;
                    note = output.note.or(note);
                }
                collector = tests::collector(&settings, acked, note.clone());
                collector.handle_input(acked, &bytes[acked as usize..to], T0);
                assert_eq!(notices(&mut collector), [], "{} at {to}", layout.name);
            }
            assert_eq!(texts(&all, kind::CALL), calls, "{}", layout.name);
            assert_eq!(texts(&all, kind::TORN).len(), 0, "{}", layout.name);
            assert_eq!(acked, bytes.len() as u64, "{}", layout.name);
        }
    }
}

/// A terminal server without offsets: what was not read by the one is lost to the other.
#[test]
fn f2_at_a_takeover_without_offsets_one_record_is_torn_at_most() {
    for layout in Layout::all() {
        let mut settings = settings(&layout.name);
        if layout.page.is_some() {
            // Without it a title could not be told from a call after a gap.
            settings.set("title", "THE TITLE").unwrap();
            settings.set("page", "1/6").unwrap();
        }
        let (bytes, calls) = printed(&settings, 8);
        for from in 0..bytes.len() {
            let mut collector = collector(&settings, 0, None);
            collector.handle_line(LineNews::Gap { offset: from as u64 }, T0);
            collector.handle_input(from as u64, &bytes[from..], T0);
            let records = records(&mut collector);
            let whole = texts(&records, kind::CALL);
            assert!(calls.ends_with(&whole), "{} from {from}", layout.name);
            assert!(texts(&records, kind::TORN).len() <= 1, "{} from {from}", layout.name);
        }
    }
}

/// A USB adapter that is out and in again: what the exchange printed meanwhile has no offsets.
#[test]
fn f2_what_was_printed_while_the_device_was_away_is_not_spliced() {
    for layout in Layout::all() {
        let settings = without_titles(&layout.name);
        let (bytes, calls) = printed(&settings, 8);
        let record = bytes.len() / 8;
        for news in [
            &[LineNews::Down, LineNews::Gap { offset: 0 }, LineNews::Up][..],
            &[LineNews::Down, LineNews::Up],
            &[LineNews::Up],
            &[LineNews::Gap { offset: 0 }],
        ] {
            for (from, to) in
                (0..2 * record).flat_map(|from| [3, 4, 5].map(|n| (from, n * record + from / 2)))
            {
                let is_seamless =
                    (to - from).is_multiple_of(record) && layout.least == layout.length;
                if is_seamless {
                    continue;
                }
                let mut collector = collector(&settings, 0, None);
                collector.handle_input(0, b"\r", T0);
                collector.handle_input(1, &bytes[..from], T0);
                let offset = 1 + from as u64;
                for news in news {
                    let news = match news {
                        LineNews::Gap { .. } => LineNews::Gap { offset },
                        news => *news,
                    };
                    collector.handle_line(news, T0);
                }
                collector.handle_input(offset, &bytes[to..], T0);
                let came = texts(&records(&mut collector), kind::CALL);
                let place = format!("{}: {from} to {to}, {news:?}", layout.name);
                let mut rest = calls.iter();
                assert!(came.iter().all(|text| rest.any(|call| call == text)), "{place}: {came:?}");
                assert!(came.len() >= calls[to / record + 1..].len(), "{place}: {came:?}");
            }
        }
    }
}

/// Behind flow control an exchange waits for the device, in the middle of a line.
#[test]
fn a_line_that_goes_on_after_the_device_was_away_is_whole_where_that_can_be_seen() {
    for layout in Layout::all() {
        let settings = without_titles(&layout.name);
        let (bytes, calls) = printed(&settings, 3);
        for from in 0..bytes.len() {
            let mut collector = collector(&settings, 0, None);
            collector.handle_input(0, &[b"\r", &bytes[..from]].concat(), T0);
            for news in [LineNews::Down, LineNews::Gap { offset: 1 + from as u64 }, LineNews::Up] {
                collector.handle_line(news, T0);
            }
            let later = T0 + settings.line_timeout / 2;
            collector.handle_input(1 + from as u64, &bytes[from..], later);
            let came = texts(&records(&mut collector), kind::CALL);
            let is_seen = layout.least == layout.length;
            let least = if is_seen { calls.len() } else { calls.len() - 1 };
            assert!((least..=calls.len()).contains(&came.len()), "{} at {from}", layout.name);
        }
    }
}

/// Nothing of it had come but what it begins with.
#[test]
fn a_framed_call_that_comes_after_the_device_was_away_is_one_record() {
    let layout = "name = \"ours\"\ntitle = \"Ours\"\nlength = 12\nleast = 8\nend = \"stx-etx\"\n\
        number = { first = 0, last = 999 }\n\
        columns = [{ name = \"number\", from = 1, length = 3, kind = \"number\" }]\n";
    let settings = settings(layout);
    let mut collector = collector(&settings, 0, None);
    collector.handle_input(0, b"\x02001 one \x03\x02", T0);
    collector.handle_line(LineNews::Down, T0);
    collector.handle_line(LineNews::Up, T0);
    collector.handle_input(11, b"002 two \x03", T0);
    let records = records(&mut collector);
    assert_eq!(texts(&records, kind::CALL), ["001 one ", "002 two "]);
    assert_eq!(records.len(), 2);
}

/// The terminal server tells the successor again what happened after the last acknowledgement.
#[test]
fn a_successor_does_not_splice_either() {
    let settings = settings("m1");
    let (bytes, calls) = printed(&settings, 4);
    let record = bytes.len() / 4;
    let mut first = collector(&settings, 0, None);
    let cut = record + 52;
    first.handle_input(0, &[b"\r", &bytes[..cut]].concat(), T0);
    let output = first.poll_output().unwrap();
    let from = usize::try_from(output.ack).unwrap() - 1;
    first.handle_line(LineNews::Down, T0);
    let mut second = collector(&settings, output.ack, output.note);
    second.handle_input(output.ack, &bytes[from..cut], T0);
    second.handle_line(LineNews::Down, T0);
    second.handle_line(LineNews::Up, T0);
    second.handle_input(cut as u64 + 1, &bytes[2 * record + 50..], T0);
    assert_eq!(texts(&records(&mut second), kind::CALL), calls[3..]);
}

/// Without a title, pages are known from the first foot on.
#[test]
fn no_call_is_taken_for_a_title() {
    let settings = settings("kx");
    let (bytes, calls) = printed(&settings, 200);
    // Somewhere on the first page, and nothing has come for a while.
    let from =
        bytes.windows(2).enumerate().filter(|(_, end)| end == b"\r\n").nth(20).unwrap().0 + 2;
    let mut collector = collector(&settings, from as u64, None);
    collector.handle_input(from as u64, &bytes[from..], T0 + settings.line_timeout);
    let records = records(&mut collector);
    assert_eq!(texts(&records, kind::CALL), calls[calls.len() - 182..]);
    assert_eq!(texts(&records, kind::TITLE).len(), 3 * 3);
}

#[test]
fn a_missing_number_is_counted_and_time_is_of_no_account() {
    let settings = settings("m1");
    let mut collector = collector(&settings, 0, None);
    for (number, time) in [(25, "07:47"), (27, "07:46"), (28, "07:48")] {
        let line = format!("N {number:03} 00 2343 T010 011 05/09 {time} 00:01:12 A 1999..\r\n");
        let offset = collector.lines.offset();
        collector.handle_input(offset, line.as_bytes(), T0);
    }
    let numbers: Vec<_> = records(&mut collector).into_iter().map(|r| r.number).collect();
    assert_eq!(numbers, [Some(25), Some(27), Some(28)]);
    assert_eq!(notices(&mut collector), [Notice::Missing { from: 26, count: 1 }]);
}

#[test]
fn a_record_that_comes_twice_in_a_row_is_handled_once() {
    let settings = settings("ctx");
    let (bytes, _) = printed(&settings, 1);
    let mut collector = collector(&settings, 0, None);
    collector.handle_input(0, &[&bytes[..], &bytes].concat(), T0);
    let kinds: Vec<_> =
        records(&mut collector).into_iter().map(|r| (r.kind, r.handled_by)).collect();
    let expected =
        [(kind::CALL.to_owned(), HandledBy::Handler), (kind::REPEAT.to_owned(), HandledBy::Nobody)];
    assert_eq!(kinds, expected);
    assert_eq!(notices(&mut collector), [Notice::Repeated { number: Some(0) }]);
}

#[test]
fn f1_half_a_line_does_not_lie_unacknowledged_for_ever() {
    let settings = settings("teleseer");
    let mut collector = collector(&settings, 0, None);
    collector.handle_input(0, b"   123500", T0);
    assert_eq!(collector.poll_output(), None);
    let deadline = collector.poll_timeout().unwrap();
    assert_eq!(deadline, T0 + settings.line_timeout);
    collector.handle_timeout(deadline);
    assert_eq!(texts(&records(&mut collector), kind::TORN), ["   123500"]);
    assert_eq!(collector.poll_output().map(|output| output.ack), Some(9));
    assert_eq!(notices(&mut collector), [Notice::Partial { start: 0, end: 9 }]);
}

#[test]
fn f3_after_a_lost_acknowledgement_the_same_record_comes_from_the_same_offset() {
    let settings = settings("m1");
    let (bytes, _) = printed(&settings, 2);
    let mut first = collector(&settings, 40, None);
    first.handle_input(40, &bytes, T0);
    let mut second = collector(&settings, 40, None);
    second.handle_input(40, &bytes, T0);
    let taken = records(&mut first);
    assert_eq!((taken.len(), &taken), (2, &records(&mut second)));
}

#[test]
fn f4_a_collector_sends_nothing_whatever_comes() {
    for layout in Layout::all() {
        let settings = settings(&layout.name);
        let mut collector = collector(&settings, 0, None);
        for (offset, byte) in (0..).zip(0..=255) {
            collector.handle_input(offset, &[byte], T0);
            collector.handle_timeout(T0 + settings.line_timeout);
            while let Some(output) = collector.poll_output() {
                assert!(output.bytes.is_empty());
            }
        }
    }
}

#[test]
fn f8_what_was_overwritten_in_the_exchange_is_a_counted_hole() {
    let mut settings = settings("m1");
    settings.set("buffer", "3").unwrap();
    let mut exchange = Exchange::new(settings.clone(), 1, wall(), T0);
    let (mut written, mut offset) = (0, 0);
    let mut collector = collector(&settings, 0, None);
    let mut overwritten = 0;
    for serial in 1..=20 {
        exchange.send(serial, T0);
        // The line is held back while calls 5 to 15 end.
        let is_held = (5..=15).contains(&serial);
        while !is_held && let Some(frame) = exchange.poll_transmit() {
            written += 1;
            collector.handle_input(offset, &frame, T0);
            offset += frame.len() as u64;
            exchange.handle_written(written, T0);
        }
        let lost = std::iter::from_fn(|| exchange.poll_event())
            .filter(|event| matches!(event, crate::SimEvent::Overwritten { .. }));
        overwritten += lost.count() as u64;
    }
    assert!(overwritten > 0);
    let holes = notices(&mut collector);
    assert!(
        matches!(holes[..], [Notice::Missing { count, .. }] if count == overwritten),
        "{holes:?}"
    );
}

#[test]
fn a_break_tears_the_line_that_it_falls_into() {
    let settings = settings("teleseer");
    let (bytes, calls) = printed(&settings, 3);
    let mut collector = collector(&settings, 0, None);
    collector.handle_input(0, &bytes[..100], T0);
    collector.handle_line(LineNews::Damage, T0);
    collector.handle_input(100, &bytes[100..], T0);
    let records = records(&mut collector);
    assert_eq!(texts(&records, kind::CALL), [calls[0].clone(), calls[2].clone()]);
    assert_eq!(texts(&records, kind::TORN), [calls[1].clone()]);
}

#[test]
fn a_line_that_fits_nothing_is_kept_for_the_books() {
    let settings = settings("teleseer");
    let mut collector = collector(&settings, 0, None);
    collector.handle_input(0, b"\r\nSYSTEM RESTART 12:00\r\n", T0);
    let records = records(&mut collector);
    assert_eq!(texts(&records, kind::OTHER), ["SYSTEM RESTART 12:00"]);
    assert_eq!(records[0].handled_by, HandledBy::Nobody);
    assert!(matches!(notices(&mut collector)[..], [Notice::Unexpected { .. }]));
}

#[test]
fn a_note_that_is_none_is_refused() {
    let settings = settings("teleseer");
    let mut collector = collector(&settings, 7, Some(Bytes::from_static(b"\x01nonsense")));
    assert_eq!(notices(&mut collector), [Notice::NoteRefused]);
}

proptest! {
    /// There is no check on such a line: a flipped bit may make another good digit. Bytes that are
    /// gone show, in a layout of one length.
    #[test]
    fn over_a_line_that_loses_bytes_every_call_comes_or_is_counted_as_missing(
        seed: u64, one_in in 50..2000_u64,
    ) {
        let settings = settings("ctx");
        let (bytes, calls) = printed(&settings, 200);
        let mut draw = crate::chance::Draw::new(seed, 0);
        let kept: Vec<u8> = bytes.into_iter().filter(|_| draw.below(one_in) > 0).collect();
        let mut collector = collector(&settings, 0, None);
        let mut offset = 0;
        for chunk in kept.chunks(57) {
            collector.handle_input(offset, chunk, T0);
            offset += chunk.len() as u64;
        }
        let came = texts(&records(&mut collector), kind::CALL);
        let mut rest = calls.iter();
        prop_assert!(came.iter().all(|text| rest.any(|call| call == text)), "in order, unchanged");
        let place = |text: &Bytes| calls.iter().position(|call| call == text).unwrap() as u64;
        let missing = |notice: Notice| match notice {
            Notice::Missing { count, .. } => count,
            _ => 0,
        };
        let counted: u64 = notices(&mut collector).into_iter().map(missing).sum();
        if let (Some(first), Some(last)) = (came.first(), came.last()) {
            // A hole of all 128 numbers would not show.
            let lost = place(last) - place(first) + 1 - came.len() as u64;
            prop_assert_eq!(counted % 128, lost % 128);
        }
    }

    #[test]
    fn any_bytes_are_a_note_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let settings = settings("m1");
        let mut collector = collector(&settings, 3, Some(bytes.into()));
        collector.handle_input(3, b"N 027 00\r\n", T0);
        prop_assert_eq!(collector.poll_output().map(|output| output.ack), Some(13));
    }

    #[test]
    fn any_bytes_in_any_chunks_are_all_acknowledged_in_the_end(
        layout in 0..8_usize,
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
    ) {
        let settings = settings(&Layout::all()[layout].name);
        let bytes = chunks.concat();
        let (mut whole, mut parts) =
            (collector(&settings, 0, None), collector(&settings, 0, None));
        whole.handle_input(0, &bytes, T0);
        let mut offset = 0;
        for chunk in &chunks {
            parts.handle_input(offset, chunk, T0);
            offset += chunk.len() as u64;
        }
        for collector in [&mut whole, &mut parts] {
            collector.handle_timeout(T0 + settings.line_timeout);
        }
        prop_assert_eq!(records(&mut whole), records(&mut parts));
        let ack = whole.poll_output().map(|output| output.ack);
        prop_assert_eq!(ack.unwrap_or_default(), bytes.len() as u64);
    }
}
