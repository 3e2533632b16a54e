//! Where the programs of the chain are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Doing, LabError, Result};

/// The variable that names the programs' directory.
pub const BIN_DIR: &str = "LINEKEEPER_BIN_DIR";

/// The programs of the chain, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The node.
    pub failover_node: PathBuf,
    /// The terminal server.
    pub terminal_server: PathBuf,
    /// The lab itself, which is the nodes' payload.
    pub lab: PathBuf,
}

impl Programs {
    /// The programs for the lab that runs now: in `bin_dir` if it is given; else, where cargo runs
    /// the lab, built with it first, since cargo builds only what it was asked to run; else beside
    /// the lab.
    ///
    /// # Errors
    /// One is missing, or cannot be built.
    pub fn find(bin_dir: Option<&Path>) -> Result<Self> {
        let lab = env::current_exe().doing(|| "find the lab's own program".to_owned())?;
        match bin_dir {
            Some(dir) => Self::in_dir(dir, lab),
            None => Self::of(&lab),
        }
    }

    /// The programs that belong to the lab at `lab`: a test knows its path and is not it itself. Where
    /// `LINEKEEPER_BIN_DIR` names their directory, they are there, and nothing is built.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn of(lab: &Path) -> Result<Self> {
        if let Some(dir) = env::var_os(BIN_DIR) {
            return Self::in_dir(Path::new(&dir), lab.to_owned());
        }
        let beside = lab.parent().unwrap_or_else(|| Path::new("."));
        if let Some(cargo) = env::var_os("CARGO") {
            build(&cargo, beside)?;
        }
        Self::in_dir(beside, lab.to_owned())
    }

    fn in_dir(dir: &Path, lab: PathBuf) -> Result<Self> {
        // As the system will call them: payloads are found by it.
        let whole = dir.canonicalize();
        let dir = whole.as_deref().unwrap_or(dir);
        let find = |program: &'static str| {
            let path = dir.join(program);
            match path.is_file() {
                true => Ok(path),
                false => Err(LabError::NoProgram { program, dir: dir.to_owned() }),
            }
        };
        let (failover_node, terminal_server) = (find("failover-node")?, find("terminal-server")?);
        Ok(Self { failover_node, terminal_server, lab })
    }
}

/// Builds the programs into `dir`, a folder of cargo's named after the profile.
fn build(cargo: &OsString, dir: &Path) -> Result<()> {
    let (Some(target), Some(folder)) = (dir.parent(), dir.file_name()) else { return Ok(()) };
    let profile = if folder == "debug" { "dev".into() } else { folder.to_owned() };
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "failover-node", "--package", "terminal-server"])
        .arg("--profile")
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .doing(|| format!("start {}", cargo.display()))?;
    if status.success() { Ok(()) } else { Err(LabError::Build(status)) }
}
