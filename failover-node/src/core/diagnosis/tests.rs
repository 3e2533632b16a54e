//! Each finding: what makes it come, and what does not.

use wire::{BootId, PeerEcho};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// Group and unicast address of one network, and the group of another.
const PATHS: [(&str, usize, bool); 3] =
    [("group one", 0, false), ("unicast one", 0, true), ("group two", 1, false)];

fn at(seconds: u64) -> Time {
    Time::ZERO + SECOND * seconds as u32
}

/// A peer in health, heard by all three paths at `now`.
fn heartbeat() -> Heartbeat {
    let echo = PeerEcho { node: "me".parse().unwrap(), challenge: 1, echo: 1, heard_ms: 50 };
    let (group, node) = ("g".parse().unwrap(), "b".parse().unwrap());
    Heartbeat { peers: vec![echo], ..Heartbeat::new(group, node, BootId([1; 16]), 1) }
}

fn view(path: usize, loss_percent: u8, heard: Time) -> PathView {
    PathView { path, loss_percent, of: 64, heard }
}

/// What a node in health knows at `now`; `change` makes it ill.
fn codes_after(
    seconds: u64,
    heartbeat: &Heartbeat,
    change: impl Fn(&mut Facts<'_>, Time),
) -> Vec<(Code, String)> {
    let me = "me".parse().unwrap();
    let mut diagnosis = Diagnosis::default();
    for second in 0..=seconds {
        let now = at(second);
        let path =
            |(name, network, unicast)| PathFacts { name, network, unicast, open: Some(at(0)) };
        let paths = (0..3).map(|path| view(path, 0, now)).collect();
        let mut facts = Facts {
            node: &me,
            started: at(0),
            dead_after: Duration::from_millis(450),
            paths: PATHS.map(path).to_vec(),
            peers: vec![PeerFacts { heartbeat, heard: now, settings_differ: false, paths }],
            refusals: Vec::new(),
            duplicates: 0,
            beacon: Some(now),
            coordinator: false,
        };
        change(&mut facts, now);
        diagnosis.handle_facts(&facts, now);
    }
    let found = diagnosis.findings().inspect(|finding| assert!(finding.words.len() > 40));
    found.map(|finding| (finding.code, finding.about)).collect()
}

fn one(code: Code, about: &str) -> Vec<(Code, String)> {
    vec![(code, about.to_owned())]
}

/// `change` makes exactly this finding after `seconds`, and none a second before.
fn comes(seconds: u64, code: Code, about: &str, change: impl Fn(&mut Facts<'_>, Time)) {
    assert_eq!(codes_after(seconds - 1, &heartbeat(), &change), [], "{code} too early");
    assert_eq!(codes_after(seconds, &heartbeat(), &change), one(code, about));
}

#[test]
fn a_node_in_health_has_no_finding() {
    assert_eq!(codes_after(60, &heartbeat(), |_, _| {}), []);
}

#[test]
fn silence_by_one_path_is_told_after_ten_seconds() {
    comes(10, Code::UnicastOnly, "b by group one", |facts, _| {
        facts.peers[0].paths[0].heard = at(0);
    });
    comes(10, Code::PathDead, "group two", |facts, _| facts.peers[0].paths[2].heard = at(0));
    comes(10, Code::PathDead, "unicast one", |facts, _| facts.peers[0].paths[1].heard = at(0));
    comes(10, Code::UnicastOnly, "b by group one", |facts, _| {
        facts.peers[0].paths.remove(0);
    });
    let never_by_two = codes_after(60, &heartbeat(), |facts, _| {
        facts.peers[0].paths.pop();
    });
    assert_eq!(never_by_two, [], "it may have no such network");
}

#[test]
fn loss_above_ten_percent_is_told_and_stays_above_five() {
    comes(10, Code::PathLoss, "b by group two", |facts, _| {
        facts.peers[0].paths[2].loss_percent = 11;
    });
    let now_less = |percent| {
        codes_after(60, &heartbeat(), move |facts, now| {
            facts.peers[0].paths[2].loss_percent = if now < at(20) { 11 } else { percent };
        })
    };
    assert_eq!(now_less(6), one(Code::PathLoss, "b by group two"));
    assert_eq!(now_less(5), []);
    let of_few = codes_after(60, &heartbeat(), |facts, _| {
        facts.peers[0].paths[2] = PathView { of: 9, ..view(2, 50, at(0)) };
        facts.peers[0].paths[2].heard = facts.peers[0].heard;
    });
    assert_eq!(of_few, []);
}

#[test]
fn a_peer_that_does_not_hear_us_is_told() {
    let mut deaf = heartbeat();
    deaf.peers[0].heard_ms = 451;
    assert_eq!(codes_after(2, &deaf, |_, _| {}), [], "it may have joined just now");
    assert_eq!(codes_after(3, &deaf, |_, _| {}), one(Code::OneWay, "b"));
    deaf.peers.clear();
    assert_eq!(codes_after(3, &deaf, |_, _| {}), one(Code::OneWay, "b"));
}

#[test]
fn who_hears_nobody_is_alone() {
    comes(10, Code::Alone, "me", |facts, _| facts.peers.clear());
    let dead = codes_after(10, &heartbeat(), |facts, _| facts.peers[0].heard = at(0));
    assert_eq!(dead, one(Code::Alone, "me"));
}

#[test]
fn a_line_that_is_held_without_beacons_is_told() {
    let holder = Heartbeat { role: Role::Coordinator, ..heartbeat() };
    let silent = |facts: &mut Facts<'_>, _: Time| facts.beacon = None;
    let found = one(Code::NoBeacons, "terminal server");
    assert_eq!(codes_after(9, &holder, silent), []);
    assert_eq!(codes_after(10, &holder, silent), found);
    assert_eq!(codes_after(60, &heartbeat(), silent), [], "nobody holds the line");
    comes(10, Code::NoBeacons, "terminal server", |facts, _| {
        (facts.beacon, facts.coordinator) = (None, true);
    });
}

#[test]
fn refused_datagrams_are_told_by_cause() {
    for (cause, code) in [
        ("group", Code::ForeignGroup),
        ("mac", Code::WrongKey),
        ("key_id", Code::KeyId),
        ("ttl", Code::Routed),
        ("version", Code::Version),
    ] {
        let refused = |last: Time| {
            move |facts: &mut Facts<'_>, _: Time| {
                let refusal = RefusalFacts { cause, about: "10.0.0.9", why: "so", last };
                facts.refusals.push(refusal);
            }
        };
        assert_eq!(codes_after(1, &heartbeat(), refused(at(1))), one(code, "10.0.0.9"));
        assert_eq!(codes_after(38, &heartbeat(), refused(at(0))), one(code, "10.0.0.9"));
        assert_eq!(codes_after(40, &heartbeat(), refused(at(0))), [], "long ago");
    }
    let foreign = codes_after(1, &heartbeat(), |facts, now| {
        let (cause, about, why) = ("foreign", "10.0.0.9", "so");
        facts.refusals.push(RefusalFacts { cause, about, why, last: now });
    });
    assert_eq!(foreign, [], "another protocol is counted, and no finding");
}

#[test]
fn a_second_process_of_our_name_and_other_settings_are_told() {
    comes(5, Code::DuplicateName, "me", |facts, now| facts.duplicates = u64::from(now >= at(5)));
    let gone =
        codes_after(60, &heartbeat(), |facts, now| facts.duplicates = u64::from(now >= at(5)));
    assert_eq!(gone, [], "it was stopped");
    let differs = codes_after(0, &heartbeat(), |facts, _| facts.peers[0].settings_differ = true);
    assert_eq!(differs, one(Code::SettingsDiffer, "b"));
}

#[test]
fn a_finding_is_told_once_when_it_comes_and_once_when_it_goes() {
    let (me, beat) = ("me".parse().unwrap(), heartbeat());
    let mut diagnosis = Diagnosis::default();
    let mut told = Vec::new();
    for second in 0..60 {
        let now = at(second);
        let refusal = RefusalFacts { cause: "mac", about: "x", why: "so", last: at(0) };
        let peer =
            PeerFacts { heartbeat: &beat, heard: now, settings_differ: false, paths: vec![] };
        let facts = Facts {
            node: &me,
            started: at(0),
            dead_after: SECOND,
            paths: vec![],
            peers: vec![peer],
            refusals: vec![refusal],
            duplicates: 0,
            beacon: None,
            coordinator: false,
        };
        diagnosis.handle_facts(&facts, now);
        while let Some(change) = diagnosis.poll_change() {
            told.push((second, matches!(change, Change::Came(_))));
        }
    }
    assert_eq!(told, [(0, true), (39, false)]);
}

#[test]
fn strangers_cannot_fill_the_table() {
    let me = "me".parse().unwrap();
    let names: Vec<String> = (0..2 * MAX_CASES).map(|n| n.to_string()).collect();
    let refusal = |about| RefusalFacts { cause: "mac", about, why: "", last: at(0) };
    let facts = Facts {
        node: &me,
        started: at(0),
        dead_after: SECOND,
        paths: vec![],
        peers: vec![],
        refusals: names.iter().map(|name| refusal(name)).collect(),
        duplicates: 0,
        beacon: None,
        coordinator: false,
    };
    let mut diagnosis = Diagnosis::default();
    diagnosis.handle_facts(&facts, at(0));
    assert_eq!(diagnosis.findings().count(), MAX_CASES);
}
