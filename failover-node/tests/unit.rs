//! The systemd unit, as systemd itself reads it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::Command;

#[test]
fn systemd_accepts_the_unit() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    let version = version.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let number = version.as_ref().and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    let Some(number): Option<u32> = number else {
        assert!(std::env::var_os("LINEKEEPER_CI").is_none(), "systemd-analyze is needed");
        return eprintln!("skipped: needs systemd-analyze");
    };
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hardware/systemd");
    let text = std::fs::read_to_string(units.join("linekeeper-node.service")).unwrap();
    assert!(text.contains("\nType=notify-reload\n") && text.contains("\nWatchdogSec="));
    // Where the commands look for the status socket.
    assert!(text.contains("\nRuntimeDirectory=linekeeper\n"));
    // The program is where it will be installed; here it is elsewhere.
    let mut text = text.replace("/usr/bin/failover-node", env!("CARGO_BIN_EXE_failover-node"));
    if number < 253 {
        // It ignores the new type, with a warning; the rest can be judged all the same.
        text = text.replace("notify-reload", "notify");
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("linekeeper-node.service");
    std::fs::write(&unit, text).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let verify = verify.unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success(), "{said}");
    // Of this unit, not of those of the machine.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("linekeeper-node")).collect();
    assert_eq!(ours, [""; 0]);
}
