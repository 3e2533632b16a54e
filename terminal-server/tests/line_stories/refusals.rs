//! Strangers, and those who break the protocol: refused with a reason, counted, nobody disturbed.

use bytes::{Bytes, BytesMut};
use terminal_server::core::config::{HANDSHAKE, LINGER, MAX_CLIENTS};
use terminal_server::core::{ClientId, Occurrence};
use wire::frame;
use wire::frame::{MAX_OUTPUT, OUTPUT_WINDOW};
use wire::{
    Ack, Claim, DecodeError, Epoch, ErrorCode, Frame, FreeCause, Hello, Key, LineState, Nonce,
    RefuseWhy, RevokeWhy, Revoked, Welcome,
};

use crate::stage::{LEASE, Stage, ms};

/// The code of the ERROR that `id` was sent, if nothing else was.
fn error(s: &mut Stage, id: ClientId) -> ErrorCode {
    let frames = s.frames(id);
    let [Frame::Error(code, text)] = &frames[..] else { panic!("no ERROR: {frames:?}") };
    assert!(!text.is_empty());
    assert!(s.finished.contains(&id));
    *code
}

/// What becomes of a claim that `change` has spoilt after or before it was signed.
fn spoilt(s: &mut Stage, change: impl Fn(&Stage, ClientId, Claim) -> Claim) -> RefuseWhy {
    let id = s.connect();
    s.hello(id);
    let claim = s.claim(id, "mallory", 1, Epoch::NONE);
    let claim = change(s, id, claim);
    s.send(id, Frame::Claim(claim));
    let frames = s.frames(id);
    let [Frame::Refuse(refuse)] = &frames[..] else { panic!("{frames:?}") };
    assert!(s.finished.contains(&id));
    refuse.why
}

#[test]
fn a_claim_needs_the_groups_key_and_must_be_as_it_was_signed() {
    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    let other = Key::new(0, *b"another secret, another group..!");
    let why = spoilt(&mut s, |s, id, claim| s.sign_with(&other, id, claim));
    assert_eq!(why, RefuseWhy::Mac);
    let why = spoilt(&mut s, |_, _, claim| Claim { lease_ms: claim.lease_ms + 1, ..claim });
    assert_eq!(why, RefuseWhy::Mac);
    let why = spoilt(&mut s, |_, _, claim| Claim { node: "alpha".parse().unwrap(), ..claim });
    assert_eq!(why, RefuseWhy::Mac);
    let why = spoilt(&mut s, |s, id, claim| s.sign(id, Claim { key_id: 3, ..claim }));
    assert_eq!(why, RefuseWhy::Mac, "a key id that is not configured");
    let elsewhere = |claim| Claim { group: "pirates".parse().unwrap(), ..claim };
    let why = spoilt(&mut s, |s, id, claim| s.sign(id, elsewhere(claim)));
    assert_eq!(why, RefuseWhy::Group);
    assert_eq!(s.line.counters().refused_stranger, 5);
    undisturbed(&mut s, alpha, grant.epoch);
}

#[test]
fn a_claim_is_worthless_on_another_connection() {
    let mut s = Stage::new();
    let first = s.connect();
    s.hello(first);
    let recorded = s.claim(first, "alpha", 1, Epoch::NONE);
    s.send(first, Frame::Claim(recorded.clone()));
    assert!(matches!(s.frames(first)[..], [Frame::Grant(_)]));
    s.close(first);
    // Even with the very same HELLO: the server's nonce is another one.
    let id = s.connect();
    let hello = Hello {
        min: 1,
        max: 1,
        nonce: Nonce([0xc0 | first as u8; 16]),
        line: "pms".parse().unwrap(),
    };
    s.send(id, Frame::Hello(hello));
    s.frames(id);
    s.send(id, Frame::Claim(recorded));
    let frames = s.frames(id);
    assert!(matches!(&frames[..], [Frame::Refuse(r)] if r.why == RefuseWhy::Mac), "{frames:?}");
    assert_eq!(s.line.counters().granted, 1);
}

fn undisturbed(s: &mut Stage, holder: ClientId, epoch: Epoch) {
    let status = s.line.status(s.now);
    assert_eq!((status.state, status.epoch), (LineState::Held, epoch));
    assert_eq!(s.frames(holder), []);
    s.send(holder, Frame::Renew(1));
    assert_eq!(s.frames(holder), [Frame::Renewed(1)]);
}

#[test]
fn the_wrong_line_and_the_wrong_version_are_told() {
    let mut s = Stage::new();
    let nonce = Nonce([1; 16]);
    let id = s.connect();
    let elsewhere = Hello { min: 1, max: 1, nonce, line: "cdr".parse().unwrap() };
    s.send(id, Frame::Hello(elsewhere));
    assert_eq!(error(&mut s, id), ErrorCode::UnknownLine);
    let id = s.connect();
    let later = Hello { min: frame::VERSION + 1, max: 9, nonce, line: "pms".parse().unwrap() };
    s.send(id, Frame::Hello(later));
    assert_eq!(error(&mut s, id), ErrorCode::Version);
    let id = s.connect();
    let wide = Hello { min: 0, max: 9, nonce, line: "pms".parse().unwrap() };
    s.send(id, Frame::Hello(wide));
    let frames = s.frames(id);
    assert!(
        matches!(&frames[..], [Frame::Welcome(w)] if w.version == frame::VERSION),
        "{frames:?}"
    );
}

#[test]
fn frames_have_their_place() {
    let nonce = Nonce([1; 16]);
    let hello = || Frame::Hello(Hello { min: 1, max: 1, nonce, line: "pms".parse().unwrap() });
    let welcome = Frame::Welcome(Welcome { version: 1, nonce, server: "x".parse().unwrap() });
    for early in [Frame::Renew(1), Frame::Release(None), welcome.clone()] {
        let mut s = Stage::new();
        let id = s.connect();
        s.send(id, early.clone());
        assert_eq!(error(&mut s, id), ErrorCode::Unexpected, "{early:?} before HELLO");
    }
    for early in [Frame::Renew(1), Frame::Release(None), hello()] {
        let mut s = Stage::new();
        let id = s.connect();
        s.hello(id);
        s.send(id, early.clone());
        assert_eq!(error(&mut s, id), ErrorCode::Unexpected, "{early:?} before CLAIM");
    }
    for late in [hello(), welcome, Frame::Renewed(1)] {
        let mut s = Stage::new();
        let (id, grant) = s.granted("alpha");
        s.send(id, late.clone());
        let revoked = Revoked { epoch: grant.epoch, why: RevokeWhy::Misuse };
        let frames = s.frames(id);
        let [Frame::Revoked(told), Frame::Error(code, _)] = &frames[..] else {
            panic!("{late:?}: {frames:?}")
        };
        assert_eq!((*told, *code), (revoked, ErrorCode::Unexpected));
        assert_eq!(s.line.status(s.now).state, LineState::Free(FreeCause::Released));
    }
}

#[test]
fn what_is_no_frame_ends_the_connection() {
    let mut s = Stage::new();
    let id = s.connect();
    s.line.handle_bad_frame(id, DecodeError::TooLong(60_000), s.now);
    s.settle();
    assert_eq!(error(&mut s, id), ErrorCode::BadFrame);
    assert_eq!(s.line.counters().misuse, 1);
    let told = |o: &Occurrence| matches!(o, Occurrence::Misuse { code: ErrorCode::BadFrame, .. });
    assert!(s.reports.iter().any(told));
}

#[test]
fn a_holder_keeps_to_windows_and_positions() {
    let record = [0x55; MAX_OUTPUT];
    let fits = (OUTPUT_WINDOW / MAX_OUTPUT as u64) * MAX_OUTPUT as u64;
    let story = |act: fn(&mut Stage, ClientId, &[u8], u64)| {
        let mut s = Stage::new();
        s.tty_takes = 0;
        let (id, _) = s.granted("alpha");
        for position in (0..fits).step_by(MAX_OUTPUT) {
            s.output(id, position, &record, None);
        }
        assert_eq!(s.line.counters().misuse, 0, "exactly a window is allowed");
        act(&mut s, id, &record, fits);
        let frames = s.frames(id);
        let [Frame::Revoked(_), Frame::Error(code, _)] = frames[..] else { panic!("{frames:?}") };
        code
    };
    let window = story(|s, id, _, end| s.output(id, end, b"x", None));
    assert_eq!(window, ErrorCode::Window);
    let hole = story(|s, id, record, end| s.output(id, end + 1, record, None));
    assert_eq!(hole, ErrorCode::Position);
    let again = story(|s, id, record, _| s.output(id, 0, record, None));
    assert_eq!(again, ErrorCode::Position);
    let ack = story(|s, id, _, _| s.ack(id, 1, None));
    assert_eq!(ack, ErrorCode::Offset, "input that was never sent");
}

#[test]
fn an_ack_within_output_is_held_to_what_was_sent_too() {
    let mut s = Stage::new();
    let (id, _) = s.granted("alpha");
    s.input(b"abc");
    s.frames(id);
    s.output(id, 0, b"answer", Some(4));
    let frames = s.frames(id);
    assert!(matches!(frames[..], [Frame::Revoked(_), Frame::Error(ErrorCode::Offset, _)]));
    assert_eq!((s.acked(), &s.tty[..]), (0, &b""[..]), "nothing of it counts");
}

#[test]
fn what_a_client_sends_after_its_end_is_dropped() {
    let mut s = Stage::new();
    let (id, _) = s.granted("alpha");
    s.send(id, Frame::Release(None));
    s.frames(id);
    s.output(id, 0, b"late", None);
    s.send(id, Frame::Renew(9));
    s.send(id, Frame::Ack(Ack { offset: 0, note: Some(Bytes::from_static(b"late")) }));
    assert_eq!(s.frames(id), []);
    assert_eq!(s.line.counters().stale_output, 1);
    assert_eq!(s.granted("beta").1.note, Bytes::new());
    s.pass_renewing(id + 1, LINGER);
    assert!(s.dropped.contains(&id), "and after a while it is closed");
}

#[test]
fn who_does_not_claim_in_time_is_closed() {
    let mut s = Stage::new();
    let silent = s.connect();
    let greeted = s.connect();
    s.hello(greeted);
    s.pass(HANDSHAKE - ms(1));
    assert_eq!(s.line.counters().slow, 0);
    s.pass(ms(1));
    assert_eq!(error(&mut s, silent), ErrorCode::Slow);
    assert_eq!(error(&mut s, greeted), ErrorCode::Slow);
    assert_eq!(s.line.counters().slow, 2);
    s.pass(LINGER);
    assert!(s.dropped.contains(&silent) && s.dropped.contains(&greeted));
    assert_eq!(s.line.poll_timeout(), None);
}

#[test]
fn a_crowd_without_a_key_keeps_no_claimant_out() {
    let mut s = Stage::new();
    let (alpha, grant) = s.granted("alpha");
    for _ in 1..MAX_CLIENTS {
        let id = s.connect();
        s.hello(id);
    }
    assert!(s.dropped.is_empty());
    assert_eq!(s.refused("beta").why, RefuseWhy::Held, "it was heard");
    assert_eq!(s.dropped.iter().collect::<Vec<_>>(), [&(alpha + 1)], "for the oldest of them");
    assert_eq!(s.line.counters().full, 1);
    // Who is done gives way as well, but not before those who have waited longer.
    for _ in 0..2 * MAX_CLIENTS {
        let id = s.connect();
        s.hello(id);
    }
    assert!(s.dropped.contains(&(alpha + MAX_CLIENTS as u64)));
    undisturbed(&mut s, alpha, grant.epoch);
    s.close(alpha);
    s.granted("beta");
}

#[test]
fn one_claimant_too_many_is_told_so() {
    let mut s = Stage::new();
    // A claim that waits for the disk has shown its key.
    let claimants: Vec<_> = (0..MAX_CLIENTS)
        .map(|_| {
            let id = s.connect();
            s.hello(id);
            let claim = s.claim(id, "alpha", 1, Epoch::new(9, 4));
            s.send(id, Frame::Claim(claim));
            id
        })
        .collect();
    let id = s.connect();
    assert_eq!(error(&mut s, id), ErrorCode::Full);
    assert_eq!(s.line.counters().full, 1);
    assert!(s.dropped.is_empty());
    s.close(claimants[0]);
    s.close(id);
    let id = s.connect();
    s.hello(id);
}

#[test]
fn a_refused_claimant_may_not_try_again_on_the_same_connection() {
    let mut s = Stage::new();
    s.granted("alpha");
    let (id, frame) = s.try_claim("beta");
    assert!(matches!(frame, Frame::Refuse(_)));
    s.pass(LEASE);
    let claim = s.claim(id, "beta", b'b', Epoch::NONE);
    s.send(id, Frame::Claim(claim));
    assert_eq!(s.frames(id), []);
    assert_eq!(s.line.counters().granted, 1);
}

#[test]
fn no_answer_is_longer_than_a_frame_may_be() {
    let mut s = Stage::new();
    let (alpha, _) = s.granted("alpha");
    s.ack(alpha, 0, Some(&[7; frame::MAX_NOTE]));
    s.send(alpha, Frame::Release(None));
    let (_, grant) = s.granted("beta");
    assert_eq!(grant.note.len(), frame::MAX_NOTE);
    // Encoding asserts the bound.
    Frame::Grant(grant).encode(&mut BytesMut::new());
}
