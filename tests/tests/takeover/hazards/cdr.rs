//! `cdr`: lines come, and nobody answers.

use std::time::Duration;

use billing::{SimEvent, Write};
use linekeeper_tests::takeover::{Pipe, Setting};

const SECOND: Duration = Duration::from_secs(1);

/// Three calls, one right behind the other.
fn calls(settings: &[(&str, &str)]) -> Pipe {
    let mut pipe = Pipe::new(&Setting { records: 0, ..Setting::of("cdr", settings) });
    pipe.sit();
    for serial in 1..=3 {
        let now = pipe.now;
        pipe.far.send(serial, now);
    }
    pipe
}

fn kinds(pipe: &Pipe, wanted: &str) -> usize {
    let is = |write: &&Write| matches!(write, Write::Receive(record) if record.kind == wanted);
    pipe.writes.iter().filter(is).count()
}

fn length() -> usize {
    let mut pipe = calls(&[("layout", "m1")]);
    pipe.run(5 * SECOND);
    pipe.heard().len()
}

fn torn(at: usize) -> Pipe {
    let mut pipe = calls(&[("layout", "m1")]);
    while pipe.heard().len() < at {
        pipe.run(Duration::from_millis(1));
    }
    pipe.forget();
    pipe.sit();
    pipe.run(20 * SECOND);
    pipe
}

#[test]
fn f1_half_frame_then_silence() {
    let mut pipe = Pipe::new(&Setting { records: 0, ..Setting::of("cdr", &[("layout", "m1")]) });
    pipe.sit();
    let mut whole = calls(&[("layout", "m1")]);
    whole.run(5 * SECOND);
    let half = whole.heard()[..20].to_vec();
    half.iter().for_each(|byte| pipe.hear(*byte));
    pipe.run(20 * SECOND);
    assert_eq!((kinds(&pipe, "call"), kinds(&pipe, "torn")), (0, 1));
}

#[test]
fn f2_a_reader_that_knows_no_offset_tears_one_record_at_most() {
    for at in 1..length() {
        let pipe = torn(at);
        let (whole, torn) = (kinds(&pipe, "call"), kinds(&pipe, "torn"));
        assert!(whole >= 2 && torn <= 1 && kinds(&pipe, "other") == 0, "{at}: {whole} {torn}");
    }
}

#[test]
fn f6_what_is_said_to_it_is_a_fault() {
    let mut pipe = calls(&[]);
    pipe.say(b"\x06");
    assert!(pipe.saw(|event| matches!(event, SimEvent::Partial { .. })));
    pipe.run(5 * SECOND);
    assert_eq!(kinds(&pipe, "call"), 3);
}

#[test]
fn f8_overwritten_in_the_exchange() {
    let pipe = calls(&[("buffer", "1")]);
    // One is leaving, one waits.
    let lost = |event: &&SimEvent| matches!(event, SimEvent::Overwritten { .. });
    assert_eq!(pipe.far.events.iter().filter(lost).count(), 1);
}
