use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use daemon::Exit;

use super::*;
use crate::component::{Door, Exec, ExecMode, PayloadOptions, Stream};
use crate::core::config::Membership;

const FLAGS: &str = "failover-node --group g --node a --line pms --key-file KEY --multicast \
                     239.255.77.1:4100 --interface 127.0.0.1 --terminal-server ts:4101";

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

/// [`FLAGS`] with a key that can be read, and the key.
fn flags() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "00112233".repeat(8)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let flags = FLAGS.replace("KEY", key.to_str().unwrap());
    (dir, key, flags)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_become_options() {
    let (_dir, key, flags) = flags();
    let cli = parse(&format!("{flags} --profile 50/200/250 --stall 2s -- cmd --status x"));
    let options = cli.unwrap().run.config().unwrap().options;
    assert_eq!(options.node.as_str(), "a");
    assert_eq!(options.profile.to_string(), "50/200/250");
    assert_eq!(options.behaviour.stall, Duration::from_secs(2));
    let exec = Exec::new("cmd".into(), vec!["--status".into(), "x".into()]);
    assert_eq!(options.lines[0].payload, Some(PayloadOptions::Exec(exec)));
    assert_eq!(options.behaviour.restarts, 5);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failure = parse(&format!("{flags} -- cmd")).unwrap().run.config().unwrap_err();
    assert_eq!(failure.exit, Exit::Permission);
    assert!(failure.to_string().contains("chmod 600"), "{failure}");
}

#[test]
fn a_node_may_have_peers_a_bridge_or_no_payload_at_all() {
    let (_dir, _key, flags) = flags();
    let options = |more: &str| {
        let config = parse(&format!("{flags} {more}")).unwrap().run.config();
        config.map(|config| config.options)
    };
    let unicast = flags.replace("--multicast 239.255.77.1:4100", "--listen 10.0.0.1:4100");
    let unicast = format!("{unicast} --peer 10.0.0.2:4100 --peer 10.0.0.3:4100 -- cmd");
    let unicast = parse(&unicast).unwrap().run.config().unwrap().options;
    assert_eq!(unicast.networks[0].peers.len(), 2);
    assert_eq!(unicast.networks[0].multicast, None);
    let bridge = options("--bridge pty:/run/billing").unwrap();
    let Some(PayloadOptions::Bridge(bridge)) = &bridge.lines[0].payload else { panic!() };
    assert_eq!(bridge.door, Door::Pty("/run/billing".into()));
    let pty = options("--payload-mode pty -- cmd").unwrap();
    let Some(PayloadOptions::Exec(exec)) = &pty.lines[0].payload else { panic!() };
    assert_eq!(exec.mode, ExecMode::Pty(Stream::default()));
    let observer = options("--member observer").unwrap();
    assert_eq!(observer.lines[0].payload, None);
    assert_eq!(observer.behaviour.membership, Membership::Observer);
    let failure = options("").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure.message.contains("-- COMMAND, or --bridge or --billing, is missing"),
        "{failure}"
    );
    let hooked = options("--check /c --before-serve /b --after-stop /s -- cmd").unwrap();
    assert_eq!(hooked.check.unwrap().command, ["/c"]);
    assert_eq!(hooked.hooks.before_serve[0].command, ["/b"]);
    assert_eq!(hooked.hooks.after_stop[0].command, ["/s"]);
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "failover-node".to_owned(),
        format!("{} -- cmd", FLAGS.replace("239.255.77.1:4100", "10.0.0.1:4100")),
        format!("{} -- cmd", FLAGS.replace("ts:4101", "ts")),
        format!("{FLAGS} --profile 100/200/300 -- cmd"),
        format!("{FLAGS} --stall 5 -- cmd"),
        format!("{FLAGS} --restarts 1000 -- cmd"),
        format!("{FLAGS} --node a/b -- cmd"),
        format!("{FLAGS} --peer 10.0.0.2:4100 -- cmd"),
        format!("{FLAGS} --bridge pty:/x -- cmd"),
        format!("{FLAGS} --config x.toml"),
        format!("{FLAGS} status"),
        "failover-node --config x.toml -- cmd".to_owned(),
        "failover-node --config x.toml --priority 3".to_owned(),
        "failover-node handover --to -x".to_owned(),
        "failover-node maintenance on --for 1h --until-off".to_owned(),
        "failover-node maintenance maybe".to_owned(),
        "failover-node maintenance --for 30m".to_owned(),
        "failover-node maintenance --until-off".to_owned(),
        "failover-node maintenance --force".to_owned(),
        "failover-node events -n x".to_owned(),
        "failover-node check-config".to_owned(),
    ] {
        assert!(parse(&line).is_err(), "{line}");
    }
}

#[test]
fn a_file_goes_with_a_few_flags_only() {
    let line = "failover-node --config x.toml --node b --status s --log debug --log-format json";
    let run = parse(line).unwrap().run;
    assert_eq!(run.config.as_deref(), Some(Path::new("x.toml")));
    assert_eq!(run.config().unwrap_err().exit, Exit::NoInput);
}

#[test]
fn subcommands_need_no_flags() {
    assert!(matches!(parse("failover-node status").unwrap().command, Some(Command::Status(_))));
    let Some(Command::Handover(args)) =
        parse("failover-node handover --to b --status /tmp/s").unwrap().command
    else {
        panic!("not handover")
    };
    assert_eq!(args.to.unwrap().as_str(), "b");
    assert_eq!(args.socket.path(), Path::new("/tmp/s"));
    let Some(Command::Maintenance(args)) =
        parse("failover-node maintenance on --for 30m --force").unwrap().command
    else {
        panic!("not maintenance")
    };
    assert_eq!((args.switch, args.force), (Some(Switch::On), true));
    assert_eq!(args.span, Some(Duration::from_secs(1800)));
    for line in ["why-not --json", "events -n 3 -f", "check-config x.toml", "maintenance"] {
        assert!(parse(&format!("failover-node {line}")).is_ok(), "{line}");
    }
}
