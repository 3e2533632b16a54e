//! What the drills share.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use billing::numbered::frame::ANSWER_LEN;
use failover_node::core::profile::Profile;
use lab::drills::{Case, Outcome, Plan, missing};
use lab::{Chain, LabReport, Programs, Settings, Spread, Timeline, session};

/// The lab's own program.
pub(crate) const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Held by whoever has a chain. Chains mostly wait; more than two at a time on a small machine would
/// disturb each other's times.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until nobody else has one: for what counts all that this process has.
    pub(crate) fn take_all() -> [Self; 2] {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        SLOTS.map(|slot| {
            let lock = File::create(dir.join(slot)).expect("the build's own directory");
            lock.lock().expect("a file of ours can be locked");
            Self { _lock: lock }
        })
    }

    /// Waits for this test's turn, among the threads of this process and the processes of this
    /// build.
    pub(crate) fn take() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        loop {
            for slot in SLOTS {
                let lock = File::create(dir.join(slot)).expect("the build's own directory");
                if lock.try_lock().is_ok() {
                    return Self { _lock: lock };
                }
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// The programs of this build, built once.
pub(crate) fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs::of(Path::new(LAB)).expect("the programs can be built"))
}

/// A chain that serves, of so many nodes.
pub(crate) async fn chain(nodes: usize) -> Chain {
    chain_of(Settings { nodes, ..Settings::default() }).await
}

/// A chain that serves.
pub(crate) async fn chain_of(settings: Settings) -> Chain {
    let laid = Chain::lay(settings, programs(), Timeline::default());
    let mut chain = laid.await.unwrap();
    session::begin(&mut chain).await.unwrap();
    chain
}

/// Does a drill in a network of its own and judges it: nothing lost or doubled, never two holders, no
/// needless move, every byte with its owner, and within the bound where there is one. `None` where
/// this machine has not what it needs.
pub(crate) async fn drill(case: Case, plan: &Plan) -> Option<Outcome> {
    if let Some(need) = missing(case) {
        let required = std::env::var_os("LINEKEEPER_CI").is_some_and(|value| value == "1");
        assert!(!required, "{need} is missing, and LINEKEEPER_CI=1 demands it");
        println!("skipped: needs root and iproute2, and here {need} is missing");
        return None;
    }
    // What burns all cores disturbs others, and leases of milliseconds are disturbed by them.
    let alone = case == Case::Busy || plan.profile == Profile::FAST;
    let _turns = if alone { Turn::take_all().into() } else { vec![Turn::take()] };
    let outcome = lab::drills::run(case, plan, programs(), Timeline::default()).await.unwrap();
    println!(
        "{case}, {} nodes, {}: {}",
        plan.nodes,
        plan.profile,
        lab::drills::table::line(&outcome)
    );
    assert_eq!(outcome.faults, [""; 0], "{case}: {outcome:#?}");
    assert!(outcome.late().is_none_or(|late| late <= BUSY), "{case}: {outcome:#?}");
    Some(outcome)
}

/// Ends the run; nothing may have been lost, doubled, torn, reordered or mixed, and never may two
/// nodes have held the line.
#[track_caller]
pub(crate) fn assert_clean(report: &LabReport) {
    let text = lab::show::table(report);
    assert!(report.pass, "{text}");
    let billing = report.billing.as_ref().expect("a run that passed has a verdict");
    let outcome = &billing.outcome;
    // No byte beside the answers: nobody else wrote.
    let answers = outcome.received.answers;
    assert_eq!(answers, outcome.sent.records, "{text}");
    assert_eq!(outcome.received.bytes, answers * ANSWER_LEN as u64, "{text}");
}

/// Prints a figure of the README beside what the project promises.
pub(crate) fn measured(what: &str, spread: Spread, goal: &str) {
    println!("{what}: median {:.1?}, worst {:.1?} (goal: {goal})", spread.median, spread.max);
}

/// So many chains stand at a time.
const SLOTS: [&str; 2] = ["lab.turn.1", "lab.turn.2"];
/// Time for a machine that is busy with other things, on top of a bound that holds on a quiet one.
pub(crate) const BUSY: Duration = Duration::from_millis(300);
