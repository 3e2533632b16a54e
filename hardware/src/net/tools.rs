//! `ip` and `tc`, which are one package everywhere (iproute2) and all that the network needs.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::{Doing, LabError, Result};

/// What is missing for networks of one's own; nothing if they can be had.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("root");
    }
    (!(answers("ip") && answers("tc"))).then_some("iproute2")
}

fn answers(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Does what the words say with `ip`.
pub(crate) fn ip(words: &str) -> Result<()> {
    run(Command::new("ip").args(words.split(' ')), words, "")
}

/// Does many things in a namespace with one call of `ip` or `tc`: quicker, and at almost one moment.
pub(crate) fn batch(tool: &str, namespace: &str, lines: &[String]) -> Result<()> {
    let text = lines.join("\n") + "\n";
    run(Command::new(tool).args(["-n", namespace, "-batch", "-"]), "a batch", &text)
}

fn run(command: &mut Command, what: &str, input: &str) -> Result<()> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let doing = || format!("run {tool} with {what}");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().doing(doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that ends early says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().doing(doing)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(LabError::Refused {
            program: format!("{tool} ({what})"),
            words: String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        }),
    }
}
