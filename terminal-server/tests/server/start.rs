//! Starts that must not happen, and what is said then.

use std::os::unix::fs::PermissionsExt;

use sys::{Pty, SerialPort, Slave};
use tokio::process::Command;

use crate::client::Client;
use crate::daemon::{Site, ended, program, within, write};

#[tokio::test]
async fn a_missing_state_is_an_error_that_says_what_to_pass() {
    let site = Site::new();
    let (code, said) = site.fails(&[]).await;
    assert_eq!(code, Some(64));
    assert!(said.contains("--new-state"), "{said}");
    assert!(!site.path("state").exists(), "nothing was made");
    site.start().await.stop().await;
    // And with it on every start nothing is forgotten.
    site.start().await.stop().await;
}

#[tokio::test]
async fn a_damaged_state_is_not_believed() {
    let site = Site::new();
    site.start().await.stop().await;
    let file = site.path("state").join("terminal-server.state");
    let mut content = std::fs::read(&file).unwrap();
    let last = content.len() - 5;
    content[last] ^= 1;
    std::fs::write(&file, &content).unwrap();
    let (code, said) = site.fails(&[]).await;
    assert_eq!(code, Some(66));
    assert!(said.contains("checksum") && said.contains("--new-state"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), content, "left as it was");
    site.start().await.stop().await;
}

#[tokio::test]
async fn the_state_is_readable_for_its_owner_only() {
    let site = Site::new();
    site.start().await.stop().await;
    let mode = |name: &str| site.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/terminal-server.state"), 0o600);
    let text = std::fs::read_to_string(site.path("state/terminal-server.state")).unwrap();
    assert!(text.starts_with("linekeeper terminal-server state 1\nlength "), "{text}");
}

#[tokio::test]
async fn two_daemons_share_neither_a_state_nor_a_device() {
    let site = Site::new();
    let daemon = site.start().await;
    let (code, said) = site.fails(&[]).await;
    assert_eq!(code, Some(69));
    assert!(said.contains("in use by another terminal server"), "{said}");
    let other = site.path("other").display().to_string();
    let at = site.args.iter().position(|arg| arg == "--state").unwrap();
    let mut site = site;
    site.args[at + 1] = other;
    let (code, said) = site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(69));
    assert!(said.contains("in use by another program"), "{said}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_key_that_is_no_secret_or_no_key_is_refused() {
    let site = Site::new();
    site.write_key(crate::daemon::SECRET, 0o644);
    let (code, said) = site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(77));
    assert!(said.contains("--key-file") && said.contains("chmod 600"), "{said}");
    site.write_key("secret", 0o600);
    let (code, said) = site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(64));
    assert!(said.contains("64 hex digits"), "{said}");
    assert!(!said.contains("secret\""), "the secret itself is not shown: {said}");
    std::fs::remove_file(site.path("key")).unwrap();
    let (code, said) = site.fails(&["--new-state"]).await;
    assert_eq!(code, Some(66));
    assert!(said.contains("key"), "{said}");
}

#[tokio::test]
async fn a_device_that_is_not_there_is_named() {
    let mut site = Site::new();
    site.cable = None;
    let (code, said) = site.fails(&["--new-state", "--require-device"]).await;
    assert_eq!(code, Some(69));
    assert!(said.contains("cable: no such device"), "{said}");
}

#[tokio::test]
async fn a_device_that_is_not_there_is_waited_for_and_the_status_says_why() {
    let mut site = Site::new();
    site.cable = None;
    let mut daemon = site.start().await;
    let line = site.status().await["lines"][0].clone();
    assert_eq!(line["up"], false);
    assert!(line["trouble"].as_str().unwrap().contains("no such device"), "{line}");
    let (mut alpha, _) = Client::granted(daemon.address, "alpha").await;
    let again = Pty::open(Some(&site.path("cable")), Slave::Held).unwrap();
    assert_eq!(daemon.event("device").await["up"], false);
    assert_eq!(daemon.event("device").await["up"], true);
    let mut far = SerialPort::from(again);
    write(&mut far, b"at last").await;
    assert_eq!(alpha.input(7).await.1, b"at last");
    assert_eq!(site.status().await["lines"][0]["trouble"], serde_json::Value::Null);
}

#[tokio::test]
async fn wrong_usage_is_64_and_says_what_is_wrong() {
    let lines = [
        ("", "required"),
        ("--virtual x --listen-line 127.0.0.1:0", "--key-file"),
        ("--virtual x --listen-raw 127.0.0.1:0 --listen-line 127.0.0.1:0", "--key-file"),
        ("--virtual x --listen-raw 127.0.0.1:0 --raw-may-hold", "--key-file"),
        ("--virtual x --serial y --listen-raw 127.0.0.1:0", "cannot be used"),
        ("--virtual x,9600,9N1 --listen-raw 127.0.0.1:0", "data bits"),
        ("--virtual x --listen-raw nowhere", "--listen-raw"),
        ("--virtual x --listen-raw 127.0.0.1:0 --ring 1", "64KiB"),
        ("--virtual x --listen-raw 127.0.0.1:0 --lease-max 1ms", "20ms"),
        ("--virtual x --listen-raw 127.0.0.1:0 --line ..", "begins with"),
        ("--virtual x --listen-raw 127.0.0.1:0 --log-format xml", "`text` or `json`"),
        ("--virtual x --listen-raw 127.0.0.1:0 --beacon 239.1.1.1:1", "--key-file"),
        ("--virtual x --listen-raw 127.0.0.1:0 --new-state", "--state"),
        ("--virtual x --listen-raw 127.0.0.1:0 --allow 10.1.0.0/8", "the network is 10.0.0.0/8"),
        ("--config x --listen-raw 127.0.0.1:0", "cannot be used"),
        ("--config x --state y", "cannot be used"),
        ("--json", "--list"),
    ];
    for (line, expected) in lines {
        let mut command = Command::new(program());
        command.args(line.split_whitespace());
        let (code, said) = ended(command).await;
        assert_eq!(code, Some(64), "{line}: {said}");
        assert!(said.contains(expected), "{line}: {said}");
    }
}

#[tokio::test]
async fn list_help_completions_and_man_are_printed() {
    let print = async |line: &str| {
        let mut command = Command::new(program());
        let output = within(command.args(line.split(' ')).output()).await.unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&print("--list --json").await).unwrap();
    assert!(json.is_array());
    assert!(!print("--list").await.is_empty());
    assert!(print("--help").await.contains("--listen-line"));
    assert!(print("completions bash").await.contains("terminal-server"));
    assert!(print("man").await.contains(".TH"));
    assert!(print("man status").await.contains("terminal\\-server\\-status"));
}
