//! Configuration files: what is said of a wrong one, and that the documented one is right. After a
//! wanted change: `LINEKEEPER_ACCEPT=1 cargo test -p failover-node --test config`, then read the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use daemon::config::ConfigErrors;
use failover_node::billing::options::Job;
use failover_node::component::{Bridge, Door, ExecMode, Stream};
use failover_node::config::{Config, summary};
use failover_node::core::Behaviour;
use failover_node::core::config::Membership;
use failover_node::driver::LineOptions;
use failover_node::{Exec, PayloadOptions};
use sys::InterfaceName;

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    parse_as(text, None)
}

fn parse_as(text: &str, name: Option<&str>) -> Result<Config, ConfigErrors> {
    let key = |named: &str| match named {
        "/missing" => Err("/missing: No such file or directory".to_owned()),
        "credential:key" => Ok(None),
        // A secret of its own for each file.
        file => Ok(Some(format!("{:02x}", file.len()).repeat(31).into_bytes()).map(|mut hex| {
            hex.extend(b"0f");
            hex
        })),
    };
    let name = name.map(|name| name.parse().unwrap());
    Config::parse(Path::new("node.toml"), text, name.as_ref(), &key)
}

fn documented() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/failover-node.toml");
    std::fs::read_to_string(docs).unwrap()
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LINEKEEPER_ACCEPT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs from its golden file; it is now:\n{text}");
}

const SMALLEST: &str = r#"
[node]
name = "a"
group = "front-desk"
keys = { 0 = "/key" }
[[network]]
interface = "10.0.0.11"
multicast = "239.255.77.1:4100"
[[line]]
name = "pms"
terminal_server = "10.0.0.5:4101"
command = ["/bin/true"]
"#;

/// What stands where it must stand, with more in `[node]`.
fn with(node: &str) -> String {
    SMALLEST.replace("[node]\n", &format!("[node]\n{node}\n"))
}

#[test]
fn the_documented_file_is_right_and_its_values_are_the_defaults_it_states() {
    let documented = parse(&documented()).unwrap();
    let nothing_said = parse(SMALLEST).unwrap();
    assert_eq!(documented.options.behaviour, Behaviour::default());
    assert_eq!(nothing_said.options.behaviour, Behaviour::default());
    assert_eq!(documented.options.profile, nothing_said.options.profile);
    assert_eq!(documented.options.maintenance, None);
    let of = |options: &LineOptions| options.payload.clone();
    let exec = Exec::new("/usr/local/bin/gateway".into(), vec!["--quick".into()]);
    assert_eq!(of(&documented.options.lines[0]), Some(PayloadOptions::Exec(exec)));
    let Some(PayloadOptions::Exec(cdr)) = of(&documented.options.lines[1]) else { panic!() };
    assert_eq!(cdr.mode, ExecMode::Pty(Stream::default()));
    let bridge =
        Bridge { door: Door::Pty("/run/linekeeper/minibar".into()), stream: Stream::default() };
    assert_eq!(of(&documented.options.lines[2]), Some(PayloadOptions::Bridge(bridge)));
    let Some(PayloadOptions::Billing(phones)) = of(&documented.options.lines[3]) else { panic!() };
    let bare = "billing = \"fias\"\nstore = \"/var/lib/linekeeper/billing.db\"";
    let bare = parse(&SMALLEST.replace("command = [\"/bin/true\"]", bare)).unwrap();
    let Some(PayloadOptions::Billing(usual)) = of(&bare.options.lines[0]) else { panic!() };
    assert_eq!(phones.job.settings, [("check".to_owned(), "lrc".to_owned())]);
    assert_eq!(Job { settings: Vec::new(), ..phones.job }, usual.job);
    // Of the check only the command is an example.
    let bare = format!("{SMALLEST}\n[check]\ncommand = [\"/usr/local/bin/fit\"]\n");
    assert_eq!(documented.options.check, parse(&bare).unwrap().options.check);
    let hooks = &documented.options.hooks;
    assert_eq!(hooks.before_serve.len(), 1);
    assert!(hooks.before_serve.iter().all(|hook| hook.timeout == Duration::from_secs(10)));
    assert_eq!((hooks.after_serve.len(), hooks.after_stop.len()), (1, 1));
    let network = &documented.options.networks[0];
    assert!(!network.routed && network.interface == InterfaceName::Address([10, 0, 0, 11].into()));
}

#[test]
fn a_name_given_beside_the_file_goes_before_that_in_it_and_that_of_the_host() {
    for text in [SMALLEST.to_owned(), SMALLEST.replace("name = \"a\"\ngroup", "group")] {
        assert_eq!(parse_as(&text, Some("z")).unwrap().options.node.as_str(), "z");
    }
}

/// So that a key nobody explained cannot come into being: an unknown key's error names all known.
#[test]
fn every_key_is_in_the_documented_file() {
    let documented = documented();
    let mut text = "x = 1\n".to_owned();
    let tables = ["[node]", "[[network]]", "[[line]]", "[check]", "[[hook]]"];
    for table in tables {
        text += &format!("{table}\nx = 1\n");
    }
    let errors = parse(&text).unwrap_err().errors;
    let lists: Vec<_> = errors.iter().filter_map(|e| e.message.split_once("it has: ")).collect();
    assert_eq!(lists.len(), 1 + tables.len());
    for key in lists.iter().flat_map(|(_, keys)| keys.split(", ")) {
        let said = ["\n{} = ", "\n# {} = ", "[{}]", ".{}]"].map(|form| form.replace("{}", key));
        assert!(said.iter().any(|said| documented.contains(said)), "{key} is not explained");
    }
}

#[test]
fn a_node_has_what_its_file_says() {
    let text = r#"
[node]
name = "b"
group = "crew"
keys = { 0 = "/old", 3 = "credential:key", 7 = "/newer" }
send_key = 7
profile = "50/200/250"
priority = 120
member = "never-coordinator"
preempt_after = "2m"
stall = "5s"
restarts = 0
status = "off"
events = "/var/lib/linekeeper/events"
maintenance = "10m"
log = "warn,failover_node=debug"
log_format = "json"
[[network]]
interface = "eth0"
multicast = "[ff08::4c4b]:4100"
listen = "[fe80::11]:4100"
peers = ["[fe80::12]:4100", "[fe80::13]:4100"]
routed = true
[[network]]
interface = "10.0.1.11"
multicast = "239.255.77.1:4100"
[[line]]
name = "pms"
terminal_server = "ts.example:4101"
command = ["/usr/bin/gateway", "--quick"]
mode = "stream"
gap = "0s"
[[line]]
name = "cdr"
terminal_server = "10.0.0.5:4101"
bridge = "tcp:127.0.0.1:4001"
gap = "20ms"
[check]
command = ["/bin/true"]
interval = "10s"
timeout = "1s"
failures = 5
standby = true
[[hook]]
event = "after-stop"
command = ["/bin/true", "1"]
timeout = "1m"
[[hook]]
event = "after-stop"
command = ["/bin/true", "2"]
"#;
    let config = parse(text).unwrap();
    let options = &config.options;
    assert_eq!((options.node.as_str(), options.group.as_str()), ("b", "crew"));
    assert_eq!(options.keys.iter().map(|key| key.id()).collect::<Vec<_>>(), [7, 0, 3]);
    assert_eq!(options.profile.to_string(), "50/200/250");
    let expected = Behaviour {
        priority: 120,
        membership: Membership::NeverCoordinator,
        preempt_after: Some(Duration::from_secs(120)),
        stall: Duration::from_secs(5),
        restarts: 0,
    };
    assert_eq!(options.behaviour, expected);
    assert_eq!(options.status, None);
    assert_eq!(options.events.as_deref(), Some(Path::new("/var/lib/linekeeper/events")));
    assert_eq!(options.maintenance, Some(Duration::from_secs(600)));
    assert_eq!(config.log.as_deref(), Some("warn,failover_node=debug"));
    assert_eq!(config.log_format, Some(daemon::LogFormat::Json));
    let [six, four] = &options.networks[..] else { panic!("{options:?}") };
    assert_eq!((six.peers.len(), six.routed), (2, true));
    assert_eq!(six.interface, InterfaceName::Name("eth0".into()));
    assert_eq!((four.listen, four.routed), (None, false));
    let mode = |line: &LineOptions| match line.payload.clone().unwrap() {
        PayloadOptions::Exec(exec) => format!("{:?}", exec.mode),
        PayloadOptions::Bridge(bridge) => format!("{bridge:?}"),
        PayloadOptions::Billing(billing) => billing.job.dialect,
    };
    assert_eq!(mode(&options.lines[0]), "Stream(Stream { gap: 0ns })");
    assert!(mode(&options.lines[1]).contains("127.0.0.1:4001"));
    let check = options.check.as_ref().unwrap();
    assert_eq!((check.failures, check.standby), (5, true));
    let stops: Vec<_> = options.hooks.after_stop.iter().map(|hook| &hook.command[1]).collect();
    assert_eq!(stops, ["1", "2"]);
    golden("check-config.txt", &summary::render(&config));
}

#[test]
fn an_observer_needs_neither_payload_nor_terminal_server() {
    let line = "[[line]]\nname = \"pms\"\n";
    let (head, _) = SMALLEST.split_once("[[line]]").unwrap();
    let observer = format!("{head}{line}").replace("[node]\n", "[node]\nmember = \"observer\"\n");
    let config = parse(&observer).unwrap();
    assert_eq!(config.options.lines[0].payload, None);
    assert!(summary::render(&config).contains("observer"));
    let errors = parse(&format!("{head}{line}")).unwrap_err().to_string();
    assert!(errors.contains("needs `terminal_server`") && errors.contains("its coordinator runs"));
}

#[test]
fn every_error_is_told_with_its_place() {
    let wrong = include_str!("golden/wrong.toml");
    golden("check-config-errors.txt", &format!("{}\n", parse(wrong).unwrap_err()));
}

#[test]
fn a_file_that_says_nothing_is_told_what_it_needs() {
    golden("check-config-empty.txt", &format!("{}\n", parse("").unwrap_err()));
    for (text, place) in [("[node\n", "node.toml:1:"), ("a = 1\na = 2\n", "node.toml:2:1:")] {
        let errors = parse(text).unwrap_err().to_string();
        assert!(errors.starts_with(place) && errors.contains("no TOML"), "{errors}");
    }
}

#[test]
fn a_group_has_at_most_ten_lines() {
    let line = |n: usize| {
        format!(
            "[[line]]\nname = \"l{n}\"\nterminal_server = \"ts:1\"\ncommand = [\"/bin/true\"]\n"
        )
    };
    let lines = |count: usize| -> String { (0..count).map(line).collect() };
    assert_eq!(parse(&format!("{SMALLEST}{}", lines(9))).unwrap().options.lines.len(), 10);
    let errors = parse(&format!("{SMALLEST}{}", lines(10))).unwrap_err().to_string();
    assert!(errors.contains("a group has at most 10 lines"), "{errors}");
}

#[test]
fn what_is_allowed_and_unwise_is_a_warning() {
    assert_eq!(parse(SMALLEST).unwrap().warnings, quiet());
    let fast = with("profile = \"fast\"").replace("[[line]]", "routed = true\n[[line]]");
    let slow = "[check]\ncommand = [\"/bin/true\"]\ninterval = \"1m\"\n";
    for (text, warning) in [
        (with("preempt_after = \"1m\""), "give `priority`"),
        (with("status = \"off\""), "no status socket"),
        (fast, "routed network may delay"),
        (SMALLEST.replace("10.0.0.11", "127.0.0.1"), "no other host hears"),
        (
            SMALLEST.replace("/bin/true", "no-such-program"),
            "line pms: no-such-program is not there",
        ),
        (SMALLEST.replace("\"/key\"", "\"credential:key\""), "only the service has it"),
        (format!("{SMALLEST}{slow}"), "noticed only after 195s"),
    ] {
        let warnings = parse(&text).unwrap().warnings;
        assert!(warnings.iter().any(|said| said.contains(warning)), "{warning}: {warnings:?}");
    }
    let ranked = with("preempt_after = \"1m\"\npriority = 100");
    assert_eq!(parse(&ranked).unwrap().warnings, quiet());
}

/// A machine without the usual directory has no usual status socket.
fn quiet() -> Vec<String> {
    let there = Path::new("/run/linekeeper").is_dir();
    let warning = "there is no status socket, so nobody can ask or steer this node".to_owned();
    if there { Vec::new() } else { vec![warning] }
}

#[test]
fn check_config_says_ok_or_what_is_wrong_and_ends_with_64() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (file, key) = (dir.path().join("node.toml"), dir.path().join("key"));
    std::fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
    let mode = |mode| std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o600);
    let text = SMALLEST.replace("/key", key.to_str().unwrap());
    std::fs::write(&file, &text).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover-node"));
        let output = command.arg("check-config").arg(&file).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = check();
    assert_eq!(code, Some(0));
    assert!(said.starts_with("OK: node a of group front-desk\n"), "{said}");
    mode(0o644);
    let (code, _, said) = check();
    assert_eq!(code, Some(64));
    assert!(said.contains("node.toml:5:14: ") && said.contains("chmod 600"), "{said}");
    mode(0o600);
    std::fs::write(&file, text.replace("pms", "p m s")).unwrap();
    let (code, _, said) = check();
    assert_eq!(code, Some(64));
    assert!(said.contains("node.toml:10:8: name: "), "{said}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(check().0, Some(66));
}
