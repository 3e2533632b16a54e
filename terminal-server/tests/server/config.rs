//! Configuration files: what is said of a wrong one, and that the documented one is right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::config::ConfigErrors;
use sys::{Owner, PtyAccess};
use terminal_server::config::Config;
use terminal_server::driver::{BeaconOptions, Limits, Policies, PortOptions, Speech};
use terminal_server::table;
use tokio::process::Command;

use crate::daemon::{SECRET, Site, ended, program, within};

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let key = |path: &Path| match path.to_str() {
        Some("/missing") => Err("/missing: No such file or directory".to_owned()),
        Some("/new") => Ok(SECRET.replace("00", "77").into_bytes()),
        _ => Ok(SECRET.as_bytes().to_vec()),
    };
    Config::parse(Path::new("ts.toml"), text, &key)
}

fn documented() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/terminal-server.toml");
    std::fs::read_to_string(docs).unwrap()
}

const SMALLEST: &str = r#"
[line.bench]
virtual = "/tmp/bench"
listen = [{ speech = "raw", address = "127.0.0.1:0" }]
"#;

#[test]
fn the_documented_file_is_right_and_its_values_are_the_defaults_it_states() {
    let documented = parse(&documented()).unwrap();
    let nothing_said = parse(SMALLEST).unwrap();
    assert_eq!(documented.defaults, nothing_said.defaults);
    assert_eq!(documented.defaults.policies, Policies::default());
    assert_eq!(documented.options.limits, Limits::default());
    assert_eq!(documented.options.beacons, BeaconOptions::default());
    assert_eq!(nothing_said.options.lines[0].policies, Policies::default());
}

/// So that a key nobody explained cannot come into being: an unknown key's error names all known.
#[test]
fn every_key_is_in_the_documented_file() {
    let documented = documented();
    let tables = ["packing", "dtr", "rts", "hupcl", "telnet", "keepalive"];
    let mut text = "x = 1\n".to_owned();
    for table in ["server", "limits", "beacons", "group.a", "defaults", "line.a"] {
        text += &format!("[{table}]\nx = 1\n");
    }
    for table in tables {
        text += &format!("[line.b.{table}]\nx = 1\n");
    }
    let errors = parse(&text).unwrap_err().errors;
    let lists: Vec<_> = errors.iter().filter_map(|e| e.message.split_once("it has: ")).collect();
    assert_eq!(lists.len(), 7 + tables.len());
    for key in lists.iter().flat_map(|(_, keys)| keys.split(", ")) {
        let said = [format!("\n{key} = "), format!("[{key}"), format!(".{key}]")];
        assert!(said.iter().any(|said| documented.contains(said)), "{key} is not explained");
    }
}

#[test]
fn a_line_says_what_it_needs_and_has_the_defaults_for_the_rest() {
    let text = r#"
[server]
name = "ts"
state = "/var/lib/x"
[group.crew]
keys = { 0 = "/key", 3 = "/new" }
send_key = 3
[defaults]
settings = "19200,8N1,rtscts"
groups = ["crew"]
listen = [{ speech = "line", address = "0.0.0.0:4101" }]
packing.idle = "5ms"
[line.a]
serial = "/dev/ttyUSB0"
[line.b]
virtual = { link = "/run/b", owner = "7:8", mode = "0640" }
settings = "9600,7E1"
packing.delimiter = "\r"
dtr.open = "on"
trace = { path = "/tmp/b.trace", keep = 9 }
listen = [
    { speech = "line", address = "0.0.0.0:4101" },
    { speech = "telnet", address = "[::1]:0", allow = ["::1", "fe80::/10"] },
]
"#;
    let config = parse(text).unwrap();
    let [a, b] = &config.options.lines[..] else { panic!("{config:?}") };
    assert_eq!((a.line.as_str(), b.line.as_str()), ("a", "b"));
    assert_eq!(a.port.settings().to_string(), "19200,8N1,rtscts");
    assert_eq!(b.port.settings().to_string(), "9600,7E1,rtscts", "flow control was not changed");
    assert_eq!(a.groups[0].keys.ids().collect::<Vec<_>>(), [3, 0]);
    assert_eq!(a.groups, b.groups);
    let idle = Some(Duration::from_millis(5));
    assert_eq!((a.policies.packing.idle, b.policies.packing.idle), (idle, idle));
    assert_eq!((a.policies.packing.delimiter, b.policies.packing.delimiter), (None, Some(b'\r')));
    let trace = b.policies.trace.clone().unwrap();
    assert_eq!((trace.path, trace.size, trace.keep), (PathBuf::from("/tmp/b.trace"), 10 << 20, 9));
    let PortOptions::Virtual { access, .. } = b.port else { panic!("{b:?}") };
    let owner = Owner { user: Some(7), group: Some(8) };
    assert_eq!(access, PtyAccess { owner, mode: 0o640 });
    assert_eq!(b.listeners[1].speech, Speech::Telnet);
    assert_eq!(b.listeners[1].allow.len(), 2);
    let table = table::of_config(&config);
    assert!(table.starts_with("OK: 2 lines\n"), "{table}");
    assert!(table.contains("telnet [::1]:0 from ::1/128 fe80::/10"), "{table}");
}

#[test]
fn every_error_is_told_with_its_place() {
    let text = r#"[server]
nam = "ts"
[limits]
line_clients = 0
[beacons]
to = ["0.0.0.0:1"]
[group.crew]
keys = { x = "/key", 1 = "/missing" }
[defaults]
settings = "9600,9N1"
serial = "/dev/x"
[line.a]
serial = "/dev/ttyUSB0"
virtual = "/x"
ring = "1KiB"
on_busy = "wait"
dtr = { open = "up" }
listen = [{ speech = "raw", address = "127.0.0.1:4001" }]
[line.b]
serial = "/dev/ttyUSB0"
groups = ["pirates"]
pace = "on"
listen = [{ speech = "raw", address = "127.0.0.1:4001" }, { speech = "raw" }]
[line."c d"]
serial = "/dev/ttyUSB1"
[line.e]
serial = "/dev/ttyUSB0"
listen = [{ speech = "line", address = "127.0.0.1:4101" }]
"#;
    let errors = parse(text).unwrap_err();
    let said: Vec<_> = errors.to_string().lines().map(str::to_owned).collect();
    let expected = [
        ("ts.toml:2:1:", "server has no key `nam`; it has: name, state, status, log, log_format"),
        ("ts.toml:4:16:", "line_clients: give a number from 1 to 10000"),
        ("ts.toml:6:6:", "to: 0.0.0.0:1 is nobody's address"),
        ("ts.toml:8:14:", "`x` is no key number"),
        ("ts.toml:8:26:", "/missing: No such file or directory"),
        ("ts.toml:10:12:", "settings: data bits `9` are not 5, 6, 7 or 8"),
        ("ts.toml:11:1:", "defaults has no key `serial`"),
        ("ts.toml:12:7:", "give the line `serial` or `virtual`, and only one"),
        ("ts.toml:15:8:", "ring: give a size from 64KiB to 256MiB"),
        ("ts.toml:16:11:", "on_busy: `wait` is none of \"refuse\", \"replace\", \"observe\""),
        ("ts.toml:17:16:", "open: `up` is none of \"keep\", \"on\", \"off\""),
        ("ts.toml:21:11:", "there is no group pirates: add [group.pirates]"),
        ("ts.toml:22:8:", "pace: give true or false, not a text"),
        ("ts.toml:23:11:", "127.0.0.1:4001 is taken by line a"),
        ("ts.toml:23:59:", "give { speech = "),
        ("ts.toml:24:7:", "`c d` is no name"),
        ("ts.toml:26:7:", "/dev/ttyUSB0 is the device of line b already"),
        ("ts.toml:28:11:", "a `line` listener needs `groups`"),
    ];
    for (place, message) in expected {
        let found = said.iter().any(|line| line.starts_with(place) && line.contains(message));
        assert!(found, "{place} {message}\nin\n{errors}");
    }
    // A key number that is none leaves the group with none that is right, and so on.
    assert!(said.len() <= expected.len() + 3, "{errors}");
}

#[test]
fn keys_that_contradict_each_other_are_told_with_their_place() {
    let group = |keys: &str| {
        let errors = parse(&format!("[group.a]\n{keys}\n{SMALLEST}")).unwrap_err();
        errors.to_string()
    };
    for (keys, said) in [
        ("", "ts.toml:1:8: give keys by their numbers"),
        ("keys = { 0 = \"/a\", 1 = \"/b\" }", "ts.toml:2:1: keys 0 and 1 are the same secret"),
        ("keys = { 0 = \"/a\" }\nsend_key = 1", "ts.toml:2:1: key 1 shall send, and is not among"),
        ("keys = { 0 = \"/a\" }\nsend_key = 256", "ts.toml:3:12: send_key: give a number from 0"),
    ] {
        let told = group(keys);
        assert!(told.contains(said), "{keys}: {told}");
    }
}

#[test]
fn a_slip_of_the_pen_is_told_with_its_place() {
    for (text, place) in [("[server\n", "ts.toml:1:"), ("a = 1\na = 2\n", "ts.toml:2:1:")] {
        let errors = parse(text).unwrap_err().to_string();
        assert!(errors.starts_with(place) && errors.contains("no TOML"), "{errors}");
    }
    let errors = parse("").unwrap_err().to_string();
    assert!(errors.contains("there is no line: add one as [line.NAME]"), "{errors}");
    let keyed = "[group.g]\nkeys = { 0 = \"/key\" }\n[defaults]\ngroups = [\"g\"]\n".to_owned();
    let errors = parse(&(keyed + SMALLEST)).unwrap_err().to_string();
    assert!(errors.contains("lines with groups need `state`"), "{errors}");
}

#[test]
fn what_is_allowed_and_unwise_is_a_warning() {
    assert!(parse(SMALLEST).unwrap().warnings.is_empty());
    let open = SMALLEST.replace("127.0.0.1:0", "0.0.0.0:0");
    let warnings = parse(&open).unwrap().warnings;
    assert!(warnings[0].contains("anybody who reaches this address"), "{warnings:?}");
    let listed = open.replace(" }", ", allow = [\"10.0.0.0/8\"] }");
    assert!(parse(&listed).unwrap().warnings.is_empty());
}

#[tokio::test]
async fn check_config_says_ok_or_what_is_wrong_and_ends_with_64() {
    let site = Site::bare();
    let file = site.path("ts.toml");
    let check = || {
        let mut command = Command::new(program());
        command.arg("check-config").arg(&file);
        command
    };
    std::fs::write(&file, SMALLEST).unwrap();
    let output = within(check().output()).await.unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("OK: 1 lines\n"));
    std::fs::write(&file, "[line.a]\nserial = 1\n").unwrap();
    let (code, said) = ended(check()).await;
    assert_eq!(code, Some(64));
    assert!(said.contains("ts.toml:2:10: serial: give a text in quotes"), "{said}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ended(check()).await.0, Some(66));
}

#[test]
fn beacons_go_to_groups_of_both_families_by_one_interface_or_several() {
    let beacons =
        |text: &str| parse(&format!("{SMALLEST}\n[beacons]\n{text}")).unwrap().options.beacons;
    let two = beacons(
        "to = [\"239.255.77.1:4100\", \"[ff08::77]:4100\"]\ninterface = [\"eth0\", \"10.0.0.5\"]",
    );
    assert_eq!(two.targets.len(), 2);
    let (name, address) =
        (sys::InterfaceName::Name("eth0".into()), std::net::Ipv4Addr::new(10, 0, 0, 5));
    assert_eq!(two.interfaces, [name.clone(), address.into()]);
    assert_eq!(beacons("interface = \"eth0\"").interfaces, [name]);
}
