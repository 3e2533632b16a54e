//! What the tests share.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use lab::{Accounts, Chain, LabReport, Programs, Settings, Speech, Timeline, session};

/// Held by whoever has a chain. Chains mostly wait; more than two at a time on a small machine would
/// disturb each other's times.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for this test's turn, among the threads of this process and the processes of this
    /// build.
    pub(crate) fn take() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        loop {
            for slot in ["lab.turn.1", "lab.turn.2"] {
                let lock = File::create(dir.join(slot)).expect("the build's own directory");
                if lock.try_lock().is_ok() {
                    return Self { _lock: lock };
                }
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// A chain that serves.
pub(crate) async fn chain_of(accounts: Accounts, change: impl FnOnce(&mut Settings)) -> Chain {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    let lab = Path::new(env!("CARGO_BIN_EXE_lab"));
    let programs = PROGRAMS.get_or_init(|| Programs::of(lab).expect("the programs can be built"));
    let settle = Duration::from_millis(500);
    let speech = Speech::Dialect(accounts);
    let mut settings = Settings { speech, settle, ..Settings::default() };
    change(&mut settings);
    let mut chain = Chain::lay(settings, programs, Timeline::default()).await.unwrap();
    session::begin(&mut chain).await.unwrap();
    chain
}

/// Nothing was lost, nothing posted twice, nothing mixed, never two had the line.
#[track_caller]
pub(crate) fn assert_agreed(report: &LabReport) {
    assert!(report.pass, "{}", lab::show::table(report));
}
