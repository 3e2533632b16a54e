//! Many runs that differ in where something happens.

use linekeeper_tests::takeover::{Fault, Moment, Place, Report, Setting, What, judge, run};

/// The dialects with a load that fits them.
pub(crate) fn dialect(name: &str) -> Setting {
    match name {
        "cable" => Setting { records: 3, ..Setting::of("cable", &[]) },
        "cdr" => Setting { records: 3, ..Setting::of("cdr", &[("layout", "m1")]) },
        name => Setting::of(name, &[]),
    }
}

/// Each of these moments of a conversation, one run each; all of them, or every so many.
pub(crate) fn moments(place: &Place, setting: &Setting, stride: u64, what: What) -> Vec<Fault> {
    let whole = checked(place, setting);
    let all = std::env::var("LINEKEEPER_OFFSETS").is_ok_and(|value| value == "all");
    let stride = if all { 1 } else { stride };
    let counts = [
        (Moment::Byte, whole.bytes, stride),
        (Moment::Write, whole.writes, 1),
        (Moment::Commit, whole.writes, 1),
        (Moment::Unsent, whole.frames, 1),
        (Moment::Held, whole.frames, 1),
    ];
    let points = counts.into_iter().flat_map(|(moment, count, stride)| {
        (1..=count).step_by(stride as usize).map(move |at| Fault { at, moment, what })
    });
    points.collect()
}

/// A run in which nothing is wrong.
pub(crate) fn checked(place: &Place, setting: &Setting) -> Report {
    let report = run(place, setting);
    assert_eq!(judge(setting, &report), [""; 0], "seed {}", setting.seed);
    report
}

/// Runs them all and fails with what is wrong in the first few, the first one with all its frames.
pub(crate) fn sweep(
    place: &Place,
    settings: impl IntoIterator<Item = Setting>,
    mut find: impl FnMut(&Setting, &Report) -> Vec<String>,
) {
    let (mut runs, mut bad) = (0_u32, Vec::new());
    for setting in settings {
        runs += 1;
        let findings = find(&setting, &run(place, &setting));
        if !findings.is_empty() {
            bad.push((setting, findings));
        }
    }
    for (setting, findings) in bad.iter().take(SHOWN) {
        let Setting { dialect, stores, seed, faults, .. } = setting;
        println!("{} {stores:?} seed {seed}: {faults:?}: {findings:#?}", dialect.name());
    }
    if let Some((setting, _)) = bad.first() {
        let traced = Setting { is_traced: true, ..setting.clone() };
        run(place, &traced).trace.iter().for_each(|line| println!("{line}"));
    }
    println!("{runs} runs");
    assert!(bad.is_empty(), "{} of {runs} runs are wrong", bad.len());
}

const SHOWN: usize = 5;
