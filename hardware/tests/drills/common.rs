//! What the drills share.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use lab::Programs;

/// The lab's own program.
pub const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Held by whoever has a chain: two on a small machine would disturb each other's times.
#[derive(Debug)]
pub struct Turn(File);

impl Turn {
    /// Waits for this test's turn, among the threads of this process and the processes of this
    /// build.
    pub fn take() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab.turn");
        let file = File::create(&path).expect("the build's own directory can be written");
        file.lock().expect("a file of ours can be locked");
        Self(file)
    }
}

/// The programs of this build, built once.
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs::of(Path::new(LAB)).expect("the programs can be built"))
}
