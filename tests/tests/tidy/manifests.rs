//! Who may depend on whom, and where versions stand, read from every `Cargo.toml`.

use crate::tree::{File, Findings, files, none, one, sample};

/// The programs, which never know each other.
const PROGRAMS: [&str; 3] = ["failover-node", "terminal-server", "billing-sim"];
/// The packages that may know everything.
const LAB: &str = "lab";
const TESTS: &str = "linekeeper-tests";
/// What would let a clock, a socket, a task or chance into the formats. Of tokio they may have
/// only the codec of tokio-util.
const NOT_IN_FORMATS: [&str; 12] = [
    "async-std",
    "daemon",
    "getrandom",
    "libc",
    "mio",
    "rand",
    "rustix",
    "serialport",
    "socket2",
    "sys",
    "tokio",
    "tokio-serial",
];

/// As much of a `Cargo.toml` as the rules need.
#[derive(Debug, Default)]
struct Manifest {
    path: String,
    name: String,
    inherits_lints: bool,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    line: usize,
    /// All that is said about it.
    text: String,
}

/// Reads sections line by line. Our manifests have no value over several lines but the root's
/// lists; a member that had one would be refused for not inheriting.
fn parse(file: &File) -> Manifest {
    let mut manifest = Manifest { path: file.path.clone(), ..Manifest::default() };
    let mut section = String::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            if let Some((parent, name)) = section.rsplit_once('.')
                && lists_dependencies(parent)
            {
                manifest.dependencies.push(dependency(name, number, ""));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        let within = section.rsplit_once('.').is_some_and(|(parent, _)| lists_dependencies(parent));
        match (section.as_str(), key) {
            ("package", "name") => manifest.name = value.trim_matches('"').to_owned(),
            ("lints", "workspace") => manifest.inherits_lints = value == "true",
            (section, _) if lists_dependencies(section) => {
                let name = key.split('.').next().unwrap_or_default();
                manifest.dependencies.push(dependency(name, number, line));
            }
            _ if within => {
                let last = manifest.dependencies.last_mut().expect("pushed at its header");
                last.text.push_str(line);
            }
            _ => {}
        }
    }
    manifest
}

fn dependency(name: &str, line: usize, text: &str) -> Dependency {
    Dependency { name: name.trim_matches('"').to_owned(), line, text: text.to_owned() }
}

/// `[dependencies]`, `[dev-dependencies]`, `[target.….build-dependencies]`, but not the root's
/// `[workspace.dependencies]`.
fn lists_dependencies(section: &str) -> bool {
    let kind = section.rsplit_once('.').map_or(section, |(_, kind)| kind);
    let of_a_package = !section.starts_with("workspace");
    of_a_package && matches!(kind, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// The members' manifests: all but the root's.
fn members(files: &[File]) -> Vec<Manifest> {
    files.iter().filter(|file| file.path != "Cargo.toml").map(parse).collect()
}

fn wrong_layers(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for manifest in members(files) {
        let program = PROGRAMS.contains(&manifest.name.as_str());
        let shared = manifest.path.starts_with("crates/");
        let knows_all = [LAB, TESTS].contains(&manifest.name.as_str());
        if !program && !shared && !knows_all {
            findings.push(format!("{}: say which layer {} is in", manifest.path, manifest.name));
        }
        for Dependency { name, line, .. } in &manifest.dependencies {
            let reason = match name.as_str() {
                TESTS => "nobody depends on the tests",
                LAB if manifest.name != TESTS => "only the tests may depend on lab",
                other if PROGRAMS.contains(&other) && shared => "a crate knows no program",
                other if PROGRAMS.contains(&other) && program => "programs never know each other",
                _ => continue,
            };
            findings.push(format!("{}:{line}: {name}: {reason}", manifest.path));
        }
    }
    findings
}

fn impure_formats(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    let formats = ["crates/wire/Cargo.toml", "crates/billing/Cargo.toml"];
    for manifest in members(files).iter().filter(|m| formats.contains(&m.path.as_str())) {
        for Dependency { name, line, .. } in &manifest.dependencies {
            if NOT_IN_FORMATS.contains(&name.as_str()) {
                findings.push(format!("{}:{line}: {name} in a sans-IO crate", manifest.path));
            }
        }
    }
    findings
}

fn stray_versions(files: &[File]) -> Findings {
    let mut findings = Vec::new();
    for manifest in members(files) {
        for Dependency { name, line, text } in &manifest.dependencies {
            let text: String = text.split_whitespace().collect();
            let elsewhere = ["version=", "path=", "git="].iter().any(|key| text.contains(key));
            if !text.contains("workspace=true") || elsewhere {
                findings.push(format!("{}:{line}: {name}.workspace = true", manifest.path));
            }
        }
    }
    findings
}

/// `crates/sys` holds `unsafe`, so it cannot inherit the `forbid`; everybody else does.
fn own_lints(files: &[File]) -> Findings {
    let mut findings: Findings = members(files)
        .iter()
        .filter(|m| !m.inherits_lints && m.path != "crates/sys/Cargo.toml")
        .map(|m| format!("{}: [lints] workspace = true", m.path))
        .collect();
    let root = files.iter().find(|file| file.path == "Cargo.toml");
    if root.is_none_or(|root| !root.text.contains("\nunsafe_code = \"forbid\"\n")) {
        findings.push("Cargo.toml: unsafe_code = \"forbid\"".into());
    }
    findings
}

#[test]
fn dependencies_point_one_way() {
    let files = files(&["Cargo.toml"]);
    none("the layers", &wrong_layers(&files));
    let names: Vec<_> = members(&files).into_iter().map(|manifest| manifest.name).collect();
    for name in PROGRAMS.into_iter().chain([LAB, TESTS]) {
        assert!(names.iter().any(|other| other == name), "{name} is gone or has another name");
    }
}

#[test]
fn a_dependency_the_wrong_way_is_found() {
    let depends = |path: &str, name: &str, section: &str, on: &str| {
        let text = format!("[package]\nname = \"{name}\"\n[{section}]\n{on}.workspace = true\n");
        wrong_layers(&[sample(&format!("{path}/Cargo.toml"), &text)])
    };
    let upward = depends("crates/wire", "wire", "dependencies", "terminal-server");
    one(&upward, "crates/wire/Cargo.toml:4: terminal-server: a crate knows no program");
    let aside = depends("failover-node", "failover-node", "dev-dependencies", "billing-sim");
    one(&aside, "programs never know each other");
    let target = "target.'cfg(unix)'.build-dependencies";
    one(&depends("crates/sys", "sys", target, "billing-sim"), "a crate knows no program");
    one(&depends("crates/sys", "sys", "dependencies", "lab"), "only the tests may depend on lab");
    one(&depends("hardware", "lab", "dependencies", TESTS), "nobody depends on the tests");
    one(&depends("tools/new", "new", "dependencies", "wire"), "say which layer");
    assert_eq!(depends("hardware", "lab", "dependencies", "billing-sim"), [""; 0]);
    assert_eq!(depends("failover-node", "failover-node", "dependencies", "wire"), [""; 0]);
    let table = "[package]\nname = \"wire\"\n[dependencies.failover-node]\nworkspace = true\n";
    one(&wrong_layers(&[sample("crates/wire/Cargo.toml", table)]), "a crate knows no program");
}

#[test]
fn the_formats_have_no_runtime() {
    none("wire and billing are sans-IO", &impure_formats(&files(&["Cargo.toml"])));
}

#[test]
fn a_runtime_in_a_format_is_found() {
    for name in NOT_IN_FORMATS {
        let text = format!("[dev-dependencies]\n{name} = {{ workspace = true, features = [] }}\n");
        one(&impure_formats(&[sample("crates/billing/Cargo.toml", &text)]), name);
        assert_eq!(impure_formats(&[sample("crates/daemon/Cargo.toml", &text)]), [""; 0]);
    }
    let codec = sample("crates/wire/Cargo.toml", "[dependencies]\ntokio-util.workspace = true\n");
    assert_eq!(impure_formats(&[codec]), [""; 0]);
}

#[test]
fn versions_stand_in_the_root() {
    none("every version once, in the root", &stray_versions(&files(&["Cargo.toml"])));
}

#[test]
fn a_stray_version_is_found() {
    let bad = [
        "[dependencies]\nbytes = \"1.12\"\n",
        "[dependencies]\nbytes = { version = \"1.12\" }\n",
        "[dev-dependencies]\nbytes = { path = \"../bytes\" }\n",
        "[dependencies.bytes]\nversion = \"1.12\"\n",
        "[build-dependencies.bytes]\nfeatures = [\"a\"]\n",
        "[target.'cfg(unix)'.dependencies]\nbytes = { git = \"https://example.org/b\" }\n",
    ];
    for text in bad {
        one(&stray_versions(&[sample("crates/a/Cargo.toml", text)]), "bytes.workspace = true");
    }
    let good = "[dependencies]\nbytes.workspace = true # why\nb = { workspace = true, features = [] }\n\
                [dependencies.c]\nworkspace = true\n";
    assert_eq!(stray_versions(&[sample("crates/a/Cargo.toml", good)]), [""; 0]);
}

#[test]
fn everybody_inherits_the_lints() {
    none("lints are inherited", &own_lints(&files(&["Cargo.toml"])));
}

#[test]
fn a_member_with_lints_of_its_own_is_found() {
    let root = sample("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n");
    let own = sample("crates/a/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"\n");
    one(&own_lints(&[root.clone(), own]), "crates/a/Cargo.toml");
    let inherited = sample("crates/a/Cargo.toml", "[lints]\nworkspace = true\n");
    assert_eq!(own_lints(&[root, inherited.clone()]), [""; 0]);
    one(&own_lints(&[sample("Cargo.toml", "[workspace]\n"), inherited]), "forbid");
}
