//! A wall clock of their own for the programs of a chain. The machine's is never touched.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::time::{ClockId, clock_gettime};

use crate::error::{Doing, LabError, Result};

/// The wall clock of whoever is started in [`Wall::environment`].
#[derive(Debug, Clone)]
pub(crate) struct Wall {
    library: PathBuf,
    step: PathBuf,
}

impl Wall {
    /// Builds what it takes in `dir`; the clock is right at first.
    pub(crate) fn build(dir: &Path) -> Result<Self> {
        let (source, library) = (dir.join("wall.c"), dir.join(LIBRARY));
        fs::write(&source, SOURCE).doing(|| format!("write {}", source.display()))?;
        let mut command = Command::new(COMPILER);
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(&source);
        let output = command.stdin(Stdio::null()).output().doing(|| format!("start {COMPILER}"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(LabError::Refused { program: COMPILER.to_owned(), words });
        }
        let wall = Self::in_dir(dir);
        wall.step(0)?;
        Ok(wall)
    }

    /// The one that was built there.
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { library: dir.join(LIBRARY), step: dir.join("step") }
    }

    /// From now on the clock is off by so many seconds.
    pub(crate) fn step(&self, seconds: i64) -> Result<()> {
        // In place and in one call: the programs have the file mapped.
        let file = fs::File::options().create(true).write(true).truncate(false).open(&self.step);
        let written = file.and_then(|file| {
            std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0)
        });
        written.doing(|| format!("write {}", self.step.display()))
    }

    /// What a program needs in its environment.
    pub(crate) fn environment(&self) -> [(OsString, OsString); 2] {
        [
            ("LD_PRELOAD".into(), self.library.clone().into()),
            ("LAB_WALL_STEP".into(), self.step.clone().into()),
        ]
    }

    /// By how many seconds a program in this environment sees the time of the day off.
    pub(crate) fn seen(&self) -> Result<i64> {
        let output = Command::new("date").arg("+%s").envs(self.environment()).output();
        let output = output.doing(|| "start date".to_owned())?;
        let seen = String::from_utf8_lossy(&output.stdout).trim().parse::<i64>();
        let seen = seen.map_err(|error| LabError::Line(format!("date: {error}")))?;
        Ok(seen - clock_gettime(ClockId::Realtime).tv_sec)
    }
}

/// Whether it can be built here.
pub(crate) fn can_build() -> bool {
    let mut command = Command::new(COMPILER);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Any C compiler.
pub(crate) const COMPILER: &str = "cc";
const LIBRARY: &str = "libwall.so";
const SOURCE: &str = include_str!("wall.c");
