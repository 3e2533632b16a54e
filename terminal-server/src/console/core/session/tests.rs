//! A console's stories.

use wire::frame::{
    EventKind, Grant, Input, LastFrame, LineEvent, Observing, Refuse, RefuseWhy, RevokeWhy, Revoked,
};
use wire::{Epoch, FreeCause, LineSettings, LineState, LineStatus, Mac};

use super::*;

const WALL: Duration = Duration::from_secs(1_795_422_362);

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn options() -> SessionOptions {
    SessionOptions {
        line: "pms".to_owned(),
        hold: false,
        read_only: false,
        interactive: true,
        escape: Escape::default(),
        mapping: Mapping::default(),
        hex: false,
        stamps: false,
        echo: false,
        linger: Duration::ZERO,
    }
}

fn start(options: SessionOptions) -> Session {
    let mut session = Session::new(options);
    assert!(matches!(session.poll_deed(), Some(Deed::Connect { resume: None, .. })));
    session
}

fn grant(position: u64, acked: u64, lease_ms: u32) -> Frame {
    Frame::Grant(Grant {
        epoch: Epoch::default(),
        lease_ms,
        incarnation: 7,
        acked,
        delivered: acked,
        end: acked,
        position,
        last: LastFrame::default(),
        note: Bytes::new(),
        mac: Mac::default(),
    })
}

fn observing(incarnation: u64, offset: u64) -> Frame {
    Frame::Observing(Observing { incarnation, offset, end: offset, mac: Mac::default() })
}

fn input(offset: u64, bytes: &'static [u8]) -> Frame {
    Frame::Input(Input { offset, bytes: Bytes::from_static(bytes) })
}

fn event(offset: u64, kind: EventKind) -> Frame {
    Frame::Event(LineEvent { offset, kind })
}

impl Session {
    fn told(&mut self, frame: Frame) -> &mut Self {
        self.handle_frame(frame, WALL, at(0));
        self
    }

    fn frames(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.poll_frame()).collect()
    }

    fn notices(&mut self) -> Vec<String> {
        let shows = std::iter::from_fn(|| self.poll_show());
        shows.filter_map(|show| if let Show::Notice(n) = show { Some(n) } else { None }).collect()
    }

    fn screen(&mut self) -> String {
        let mut screen = String::new();
        while let Some(show) = self.poll_show() {
            if let Show::Line(bytes, _) | Show::Local(bytes) = show {
                screen += std::str::from_utf8(&bytes).unwrap();
            }
        }
        screen
    }
}

#[test]
fn an_observer_sees_and_sends_nothing() {
    let mut session = start(options());
    session.told(observing(7, 100)).told(input(100, b"hello"));
    assert_eq!(session.screen(), "hello");
    session.handle_keys(b"abc");
    session.handle_keys(b"def");
    assert_eq!(session.frames(), []);
    // That nothing is sent is said once, not for each key.
    assert_eq!(session.notices(), ["not sent: you only observe; ctrl-t o takes the line"]);
}

#[test]
fn a_holder_sends_within_its_window_and_acknowledges_what_is_on_the_screen() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(1000, 50, 0)).told(input(50, b"hi"));
    assert_eq!(session.frames(), [], "nothing is acknowledged before it is shown");
    session.handle_shown(52);
    let ack = Frame::Ack(wire::frame::Ack { offset: 52, note: None });
    assert_eq!(session.frames(), [ack]);
    session.handle_keys(&[b'x'; 10_000]);
    let sent = |frames: &[Frame]| -> Vec<(u64, usize)> {
        let output = |frame: &Frame| match frame {
            Frame::Output(output) => (output.position, output.bytes.len()),
            other => panic!("{other:?}"),
        };
        frames.iter().map(output).collect()
    };
    let first = session.frames();
    assert_eq!(sent(&first), [(1000, 2048), (3048, 2048), (5096, 2048), (7144, 2048)]);
    session.told(Frame::Written(Written { accepted: 3048, drained: 1000 }));
    let next = session.frames();
    assert_eq!(sent(&next), [(9192, 1808)]);
}

#[test]
fn a_holder_renews_a_lease_and_needs_none_without() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(0, 0, 300));
    assert_eq!(session.poll_timeout(), Some(at(100)));
    session.handle_timeout(at(99));
    assert_eq!(session.frames(), []);
    session.handle_timeout(at(100));
    assert_eq!(session.frames(), [Frame::Renew(1)]);
    assert_eq!(session.poll_timeout(), Some(at(200)));
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(0, 0, 0));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn the_line_is_taken_and_given_back_over_new_connections_and_nothing_is_shown_twice() {
    let mut session = start(options());
    session.told(observing(7, 100)).told(input(100, b"one "));
    session.handle_keys(b"\x14o");
    let resume = Some((7, 104));
    assert_eq!(session.poll_deed(), Some(Deed::Connect { hold: true, resume }));
    // The unacknowledged bytes come again.
    session.told(grant(0, 98, 0)).told(input(98, b"ABone two"));
    assert_eq!(session.screen(), "one \r\ntwo", "our own words stand on a line of their own");
    session.handle_shown(107);
    assert!(matches!(session.poll_frame(), Some(Frame::Ack(ack)) if ack.offset == 107));
    session.handle_keys(b"x\x14o");
    assert_eq!(session.poll_deed(), Some(Deed::Connect { hold: false, resume: Some((7, 107)) }));
    assert_eq!(session.frames(), [], "what was typed before is not for the next grant");
}

#[test]
fn a_line_that_somebody_holds_is_observed() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(refuse());
    assert_eq!(session.poll_deed(), Some(Deed::Connect { hold: false, resume: None }));
    let said = "pms is held by alpha (Held); observing it; ctrl-t o asks again";
    assert_eq!(session.notices(), [said]);
    let script = SessionOptions { hold: true, interactive: false, ..options() };
    let mut session = start(script);
    session.told(refuse());
    let Some(Deed::End(Outcome::Refused(why))) = session.poll_deed() else { panic!("no end") };
    assert!(why.starts_with("pms is held by alpha (Held); see: "), "{why}");
}

fn refuse() -> Frame {
    let status = LineStatus {
        line: "pms".parse().unwrap(),
        state: LineState::Free(FreeCause::Closed),
        epoch: Epoch::default(),
        holder: Some("alpha".parse().unwrap()),
        lease_ms: 0,
        left_ms: 0,
        reserved_for: None,
        up: true,
    };
    Frame::Refuse(Refuse { why: RefuseWhy::Held, retry_ms: 0, status, mac: Mac::default() })
}

#[test]
fn a_grant_that_ends_is_said_and_the_line_is_observed() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(0, 0, 0));
    session.notices();
    session.told(Frame::Revoked(Revoked { epoch: Epoch::default(), why: RevokeWhy::Replaced }));
    assert_eq!(session.notices(), ["pms is no longer held: somebody else took it"]);
    assert!(matches!(session.poll_deed(), Some(Deed::Connect { hold: false, .. })));
}

#[test]
fn a_line_that_goes_down_and_comes_back_is_said_once_each() {
    let mut session = start(options());
    session.told(observing(7, 0));
    session.notices();
    for kind in [EventKind::Down, EventKind::Down, EventKind::Up, EventKind::Up] {
        session.told(event(0, kind));
    }
    let expected = ["pms is down: its device has gone", "pms is up again"];
    assert_eq!(session.notices(), expected);
    for _ in 0..1000 {
        session.told(event(0, EventKind::Parity));
    }
    assert_eq!(session.notices(), ["pms has parity errors; is its speed right?"]);
}

#[test]
fn a_lost_connection_is_said_once_and_tried_again_ever_more_slowly() {
    let mut session = start(options());
    session.told(observing(7, 0)).told(input(0, b"abc"));
    session.screen();
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..7 {
        session.handle_closed("the terminal server has gone", at(now));
        let due = session.poll_timeout().unwrap();
        pauses.push(due.since(at(now)).as_millis());
        now = due.as_nanos() / 1_000_000;
        session.handle_timeout(due);
        let resume = Some((7, 3));
        assert_eq!(session.poll_deed(), Some(Deed::Connect { hold: false, resume }));
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
    session.told(observing(8, 0));
    let expected = [
        "the terminal server has gone; trying again until it is back",
        "the line's input begins anew; some of it may be missing",
        "connected again: observing pms",
    ];
    assert_eq!(session.notices(), expected);
}

#[test]
fn missed_bytes_are_counted() {
    let mut session = start(options());
    session.told(observing(7, 0)).told(input(0, b"abc"));
    session.screen();
    session.told(observing(7, 10));
    assert_eq!(session.notices()[0], "7 bytes of the line were missed");
    session.told(event(20, EventKind::Gap(10)));
    assert_eq!(session.notices(), ["10 bytes of the line are lost"]);
    session.told(input(20, b"on"));
    assert_eq!(session.screen(), "on");
}

#[test]
fn a_script_ends_when_its_output_has_left_the_port() {
    let script = SessionOptions { hold: true, interactive: false, ..options() };
    let mut session = start(script.clone());
    assert!(!session.wants_keys(), "not before it holds the line");
    session.told(grant(10, 0, 0));
    assert!(session.wants_keys());
    session.handle_keys(b"ATI\r\x14q");
    session.handle_keys_end(at(0));
    let frames = session.frames();
    assert!(matches!(&frames[..], [Frame::Output(o)] if *o.bytes == *b"ATI\r\x14q"), "{frames:?}");
    session.told(Frame::Written(Written { accepted: 16, drained: 15 }));
    assert_eq!(session.poll_deed(), None);
    session.told(Frame::Written(Written { accepted: 16, drained: 16 }));
    assert_eq!(session.poll_deed(), Some(Deed::End(Outcome::Done)));

    let patient = SessionOptions { linger: Duration::from_secs(1), ..script };
    let mut session = start(patient);
    session.handle_keys_end(at(0));
    session.told(grant(0, 0, 0));
    assert_eq!((session.poll_deed(), session.poll_timeout()), (None, Some(at(1000))));
    session.handle_timeout(at(1000));
    assert_eq!(session.poll_deed(), Some(Deed::End(Outcome::Done)));
}

#[test]
fn commands_do_what_the_list_says() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(0, 0, 0));
    let settings = LineSettings::new(9600);
    session.told(Frame::Settings(settings.into())).told(Frame::Signals(Signals::DTR));
    session.notices();
    session.handle_keys(b"\x14b\x14d\x14r");
    let wire = |dtr, rts| Frame::SetSignals(wire::SignalChange { dtr, rts, brk: None });
    let expected = [Frame::Break(250), wire(Some(false), None), wire(None, Some(true))];
    assert_eq!(session.frames(), expected);
    assert_eq!(session.notices(), ["set DTR off", "set RTS on"]);
    session.handle_keys(b"\x14c");
    let expected = [
        "pms: up, held by this console, 9600,8N1, 0 line errors",
        "wires: DTR on, RTS off, CTS off, DSR off, DCD off, RI off",
        "input shown up to offset 0",
    ];
    assert_eq!(session.notices(), expected);
    session.handle_keys(b"\x14h");
    assert_eq!(session.notices(), ["hex view on"]);
    session.told(input(0, b"\x02"));
    assert!(session.screen().ends_with("  <STX>\r\n"));
    session.handle_keys(b"\x14x\x14?");
    let notices = session.notices();
    assert_eq!(notices[0], "`x` is no command; ctrl-t ? lists them");
    assert_eq!(notices.len(), 1 + 1 + 11 + 1);
    session.frames();
    session.handle_keys(b"\x14\x14");
    assert!(matches!(session.poll_frame(), Some(Frame::Output(o)) if *o.bytes == *b"\x14"));
    session.handle_keys(b"\x14q");
    assert_eq!(session.poll_deed(), Some(Deed::End(Outcome::Done)));
}

#[test]
fn a_read_only_console_cannot_take_the_line() {
    let mut session = start(SessionOptions { read_only: true, ..options() });
    session.told(observing(7, 0));
    assert_eq!(session.notices(), ["observing pms, read-only; ctrl-t ? lists the commands"]);
    session.handle_keys(b"\x14o\x14b");
    assert_eq!((session.poll_deed(), session.frames()), (None, Vec::new()));
    assert_eq!(session.notices()[0], "this console is read-only");
}

#[test]
fn keys_that_no_line_takes_are_bounded() {
    let mut session = start(SessionOptions { hold: true, ..options() });
    session.told(grant(0, 0, 0));
    session.notices();
    for _ in 0..100 {
        session.handle_keys(&[b'x'; 4096]);
    }
    assert!(session.typed.len() <= MAX_TYPED + 1);
    assert_eq!(session.notices(), ["the line takes no more; what is typed now is not sent"]);
    session.handle_keys(b"\x14q");
    assert_eq!(session.poll_deed(), Some(Deed::End(Outcome::Done)), "one can always leave");
}
