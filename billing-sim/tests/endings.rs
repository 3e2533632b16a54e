//! How runs end, and what of it is no proof. Virtual time; the dialects' real gateways.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod desk;

use std::time::Duration;

use billing_sim::Scenario;
use billing_sim::core::exchange::Report;
use billing_sim::core::exchange::entry::{End, What};
use billing_sim::core::exchange::load::Load;
use billing_sim::core::exchange::verdict::{Counts, Verdict};
use billing_sim::scenario::words;
use desk::{Played, play, play_compared, play_spoilt, play_spoilt_and_stopped, play_stopped};

const SECOND: Duration = Duration::from_secs(1);

fn scenario(text: &str) -> Scenario {
    Scenario::parse("test.toml".as_ref(), text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn sent(played: &Played) -> Vec<u8> {
    let bytes = played.entries.iter().filter_map(|entry| match &entry.what {
        What::Out { bytes } => Some(&bytes[..]),
        _ => None,
    });
    bytes.flatten().copied().collect()
}

fn complaint(report: &Report) -> String {
    assert!(!report.pass, "{report:#?}");
    report.complaint().unwrap_or_else(|| panic!("{report:#?}"))
}

#[test]
fn a_run_that_is_told_to_stop_finishes_the_record_on_the_line_and_takes_back_the_rest() {
    let calls = scenario(
        "dialect = \"cdr\"\nline = \"1200,8N1\"\nsettle = \"0s\"\n[load]\nrate = \"max\"\n",
    );
    let guests =
        scenario("dialect = \"fias\"\nsettle = \"0s\"\n[load]\nrate = 20\ncharges = 100000\n");
    for stop in [5000, 5100, 5333, 5640, 5790] {
        let stop = Duration::from_millis(stop);
        let played = play_stopped(&calls, stop);
        assert_eq!(played.report.outcome.ended, End::Stopped);
        assert!(played.report.pass, "{stop:?} {:#?}", played.report);
        assert!(sent(&played).ends_with(b"\r\n\0\0\0"), "{stop:?}");
        let played = play_stopped(&guests, stop);
        assert_eq!(played.report.outcome.ended, End::Stopped);
        let tally = played.report.outcome.tally;
        assert!(tally.queued > tally.sent + 10, "{tally:?}");
        // What the gateway still posts is its own; of the items, none is lost.
        assert_eq!(tally.sent, tally.confirmed, "{stop:?}");
        let out = sent(&played);
        let last = out.iter().rposition(|byte| *byte == 2).unwrap();
        assert!(out[last..].contains(&3), "{stop:?}: {:?}", &out[last..]);
    }
}

#[test]
fn a_run_that_is_told_to_stop_does_not_wait_for_ever() {
    let mut scenario = Scenario::new("fias");
    scenario.patience = SECOND * 5;
    let took = |report: &Report| report.outcome.finished - report.outcome.started;
    // The gateway goes; the run ends by patience, told to stop or not.
    let report = play_spoilt(&scenario, falls_silent()).report;
    assert_eq!(report.outcome.ended, End::Silent);
    let stop = SECOND * 2;
    let report = play_spoilt_and_stopped(&scenario, stop, falls_silent()).report;
    assert_eq!(report.outcome.ended, End::Stopped);
    assert!(took(&report) <= stop + scenario.patience + scenario.settle + SECOND, "{report:#?}");
    // That one was on the line; those behind it were taken back.
    assert_eq!(report.outcome.verdicts.get(Verdict::Lost), 1, "{report:#?}");
    assert!(report.outcome.withdrawn > 3, "{report:#?}");
    assert!(complaint(&report).contains("was not settled"), "{report:#?}");

    // Nor for a port that stays closed: what is half written is awaited for another patience.
    scenario.faults = vec![words::fault("reopen pause=10m at=1s").unwrap()];
    let report = play_stopped(&scenario, stop).report;
    assert_eq!(report.outcome.ended, End::Stopped);
    let most = stop + scenario.patience * 2 + scenario.settle + SECOND;
    assert!(took(&report) <= most && !report.pass, "{report:#?}");
}

/// A gateway that answers the first records and then says nothing more.
fn falls_silent() -> impl FnMut(bytes::Bytes) -> Vec<bytes::Bytes> {
    let mut answers = 0;
    move |bytes| {
        answers += u32::from(bytes.len() == 1);
        if answers > 5 { Vec::new() } else { vec![bytes] }
    }
}

#[test]
fn whoever_stops_a_run_that_hangs_or_has_not_all_is_told() {
    let mut scenario = Scenario::new("fias");
    assert!(play_stopped(&scenario, SECOND * 55).report.pass);
    scenario.faults = vec![words::fault("end_link pause=60s at=2s").unwrap()];
    let told = complaint(&play_stopped(&scenario, SECOND * 55).report);
    assert!(told.contains("while the link was down"), "{told}");
    scenario.faults = vec![words::fault("reopen pause=60s at=2s").unwrap()];
    let told = complaint(&play_stopped(&scenario, SECOND * 14).report);
    assert!(told.contains("told to stop"), "{told}");

    scenario.faults.clear();
    scenario.load.charges = 200;
    let told = complaint(&play_stopped(&scenario, SECOND * 3).report);
    assert!(told.contains("of 200 when it was told to stop"), "{told}");
    scenario.load.charges = 0;
    scenario.load.count = Some(100);
    let told = complaint(&play_stopped(&scenario, SECOND * 3).report);
    assert!(told.contains("records begun: 1") && told.contains(" of 100 when"), "{told}");
}

#[test]
fn a_run_whose_time_is_over_before_all_has_come_is_no_proof() {
    let mut scenario = Scenario::new("fias");
    scenario.load.duration = Some(SECOND * 20);
    scenario.load.charges = 10;
    assert!(play(&scenario).report.pass);
    let few =
        play_spoilt(
            &scenario,
            |bytes| {
                if bytes.starts_with(b"\x02PS") { Vec::new() } else { vec![bytes] }
            },
        );
    assert!(complaint(&few.report).contains("charges posted: 0 of 10"), "{:#?}", few.report);
    scenario.load.charges = 0;
    scenario.load.count = Some(1000);
    let complaint = complaint(&play(&scenario).report);
    assert!(complaint.contains("records begun: 100 of 1000"), "{complaint}");
}

#[test]
fn a_dialect_that_hears_nothing_proves_nothing_until_it_is_compared() {
    let mut scenario = Scenario::new("cdr");
    scenario.load.count = Some(5);
    assert!(play(&scenario).report.pass);
    let alone = play_compared(&scenario, |truth| truth.records = None);
    assert!(complaint(&alone.report).contains("--records"), "{:#?}", alone.report);
    // One that hears, and to which nobody spoke, needs no comparison.
    let mut scenario = Scenario::new("hx");
    scenario.load.duration = Some(SECOND);
    let alone = play_compared(&scenario, |truth| truth.records = None);
    assert!(!complaint(&alone.report).contains("--records"), "{:#?}", alone.report);
}

#[test]
fn records_that_are_left_out_are_told_when_some_are_lost() {
    let mut scenario = Scenario::new("fias");
    scenario.load.count = Some(5);
    assert!(play_compared(&scenario, |truth| truth.before = 2).report.pass);
    let short = play_compared(&scenario, |truth| {
        truth.before = 2;
        truth.records.as_mut().unwrap().clear();
    });
    let told = complaint(&short.report);
    assert!(told.contains("2 records from before the run"), "{told}");
}

#[test]
fn records_of_which_nothing_is_left_flood_nothing() {
    let mut scenario = scenario(
        "dialect = \"cdr\"\n[load]\nrate = \"max\"\nduration = \"10s\"\n\
         [[fault]]\ndo = \"drop\"\ncount = 1000\nevery = 1\n",
    );
    let paced = play(&scenario).report;
    assert_eq!(paced.outcome.ended, End::Duration);
    // Eighty characters each, gone or not.
    assert!((100..200).contains(&paced.outcome.tally.queued), "{paced:#?}");
    scenario.fast = true;
    let fast = play(&scenario).report;
    assert_eq!(fast.outcome.ended, End::Duration);
    assert!(fast.outcome.tally.queued < 20_000, "{fast:#?}");
}

#[test]
fn a_record_of_which_nothing_is_left_is_lost_and_holds_up_nothing() {
    let mut scenario = Scenario::new("cdr");
    scenario.load.count = Some(5);
    scenario.load.interval = None;
    scenario.load.outstanding = 8;
    scenario.faults = vec![words::fault("drop count=1000 record=2").unwrap()];
    let report = play(&scenario).report;
    assert_eq!(report.outcome.ended, End::Done);
    let lost: Counts = [(Verdict::Lost, 1)].into_iter().collect();
    assert_eq!((report.outcome.verdicts, report.outcome.faults), (lost, 1));
}

#[test]
fn at_the_full_rate_nothing_is_begun_for_which_there_is_no_room() {
    let scenario = scenario(
        "dialect = \"cdr\"\n[settings]\nbuffer = 5\n[load]\nrate = \"max\"\nduration = \"10s\"\n\
         outstanding = 100000\n",
    );
    let report = play(&scenario).report;
    assert!(report.pass, "{report:#?}");
    let tally = report.outcome.tally;
    assert!(tally.confirmed > 80 && tally.given_up == 0, "{tally:?}");
}

#[test]
fn what_the_sender_gives_up_is_no_progress_and_a_link_that_comes_up_is_none() {
    let mut scenario = Scenario::new("fias");
    scenario.load.count = Some(20);
    scenario.faults = vec![words::fault("end_link pause=20s record=5").unwrap()];
    let report = play(&scenario).report;
    let longest = report.outcome.standstill.unwrap().length();
    assert!(report.pass && longest > SECOND * 20, "{longest:?} {report:#?}");

    // So is one that a single item has waited through.
    scenario.load = Load { count: Some(1), ..scenario.load };
    scenario.faults = vec![words::fault("hold lasting=10s at=10ms").unwrap()];
    let report = play(&scenario).report;
    let longest = report.outcome.standstill.unwrap().length();
    assert!(report.pass && longest > SECOND * 9, "{longest:?} {report:#?}");

    scenario.load.count = Some(20);
    scenario.faults.clear();
    scenario.patience = SECOND * 30;
    let mut confirmed = 0;
    let report = play_spoilt(&scenario, |bytes| {
        // Answers to the first records only; the rest is given up, one after the other.
        confirmed += u32::from(bytes.len() == 1);
        if confirmed > 5 { Vec::new() } else { vec![bytes] }
    })
    .report;
    assert_eq!(report.outcome.ended, End::Silent, "{report:#?}");
    assert!(report.outcome.tally.given_up > 0);
    let took = report.outcome.finished - report.outcome.started;
    assert!(took < SECOND * 40, "{took:?}");
}
