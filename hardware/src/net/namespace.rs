//! One network namespace.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::tools::ip;
use crate::error::Result;

/// A network namespace with a name of this process's own. Dropping it removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// An empty one, with nothing in it but loopback.
    ///
    /// # Errors
    /// It is not allowed here.
    pub fn new(role: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Self { name };
        ip(&format!("-n {} link set lo up", namespace.name))?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in it, under the number of the process that is started: `ip` becomes the
    /// program and keeps nothing of itself.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&format!("netns del {}", self.name)) {
            eprintln!("lab: {error}");
        }
    }
}

/// Removes what processes that have died without a chance to clean up have left.
pub fn sweep() {
    let Ok(entries) = fs::read_dir(NAMES) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another lab may be sweeping, too.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Whose namespace it is; `None` if it is none of a lab's.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

const PREFIX: &str = "lk";
/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_of_a_lab_have_an_owner() {
        assert_eq!(owner("lk123-4-hub"), Some(123));
        for name in ["lk123", "blue", "lk-4-hub", "lkx-1-a", ""] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
