//! How the chain's programs are started: by flags, or from files for what flags have no words for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::chain::{Chain, GROUP, Identity, JOURNAL, LINE, SERVER, SERVER_HOST};
use crate::error::{Doing, Result};
use crate::net::Network;
use crate::place::Ground;
use crate::settings::Settings;

impl Chain {
    pub(crate) fn server_command(&self) -> Result<Command> {
        let state = self.dir().join("state");
        let mut command = self.on_host(SERVER_HOST, &self.programs.terminal_server);
        if self.settings.server_file {
            let file = self.server_file();
            // Only the first time: what was changed in it since is what it is for.
            if !file.exists() {
                fs::write(&file, self.server_tables(&state))
                    .doing(|| format!("write {}", file.display()))?;
            }
            command.arg("--config").arg(file);
        } else {
            self.add_server_flags(&mut command, &state);
        }
        command
            .args(&self.settings.server_arguments)
            .envs(self.settings.environment.iter().cloned());
        if !state.exists() {
            command.arg("--new-state");
        }
        Ok(command)
    }

    /// The terminal server's file, if it has one.
    pub fn server_file(&self) -> PathBuf {
        self.dir().join(format!("{SERVER}.toml"))
    }

    /// The file of a node that is started from one.
    pub fn node_file(&self, label: &str) -> PathBuf {
        self.dir().join(format!("{label}.toml"))
    }

    fn server_tables(&self, state: &Path) -> String {
        let Settings { line, .. } = self.settings;
        let (listen, multicast) = (self.place.listen, self.place.multicast);
        format!(
            "[server]\nname = \"lab\"\nstate = {}\nstatus = {}\nlog_format = \"json\"\n\n\
             [beacons]\nto = [\"{multicast}\"]\ninterface = {}\n\n\
             [group.{GROUP}]\nkeys = {{ 0 = {} }}\n\n\
             [line.{LINE}]\nserial = {}\nsettings = \"{line}\"\ngroups = [\"{GROUP}\"]\n\
             listen = [{{ speech = \"line\", address = \"{listen}\" }}]\ntrace = {{ path = {} }}\n",
            json!(path(state)),
            json!(path(&self.status_socket(SERVER))),
            json!(self.interfaces(SERVER_HOST)),
            json!(path(&self.key_file())),
            json!(path(self.far.near())),
            json!(path(&self.trace())),
        )
    }

    fn add_server_flags(&self, command: &mut Command, state: &Path) {
        let Settings { line, .. } = self.settings;
        command
            .arg("--serial")
            .arg(format!("{},{line}", self.far.near().display()))
            .args(["--line", LINE, "--group", GROUP, "--name", "lab"])
            .args(["--listen-line", &self.place.listen.to_string()])
            .args(["--beacon", &self.place.multicast.to_string()])
            .args(self.interfaces(SERVER_HOST).iter().flat_map(|name| ["--interface", name]))
            .arg("--key-file")
            .arg(self.key_file())
            .arg("--state")
            .arg(state)
            .arg("--trace")
            .arg(self.trace())
            .arg("--status")
            .arg(self.status_socket(SERVER))
            .args(["--log-format", "json"]);
    }

    pub(crate) fn node_command(&self, identity: &Identity) -> Result<Command> {
        let interfaces = self.interfaces(identity.host);
        let mut command = self.on_host(identity.host, &self.programs.failover_node);
        command.arg("--status").arg(self.status_socket(&identity.label));
        command.args(["--log-format", "json"]);
        command.envs(self.settings.environment.iter().cloned());
        match &interfaces[..] {
            [interface] if self.settings.node_tables.is_empty() => {
                self.add_flags(&mut command, identity, interface);
            }
            _ => {
                let file = self.node_file(&identity.label);
                if !file.exists() {
                    let text = self.node_tables(identity, &interfaces);
                    fs::write(&file, text).doing(|| format!("write {}", file.display()))?;
                }
                command.arg("--config").arg(file).args(&self.settings.node_arguments);
            }
        }
        Ok(command)
    }

    fn add_flags(&self, command: &mut Command, identity: &Identity, interface: &str) {
        let Identity { name, group, key_file, .. } = identity;
        command
            .args(["--group", group, "--node", name, "--line", LINE])
            .arg("--key-file")
            .arg(key_file)
            .args(["--multicast", &self.place.multicast.to_string()])
            .args(["--interface", interface])
            .args(["--terminal-server", &self.place.listen.to_string()])
            .args(["--profile", &self.settings.profile.to_string()])
            .args(&self.settings.node_arguments);
        if let Some(accounts) = self.settings.speech.accounts() {
            command.args(accounts.arguments(self.dir(), name));
            return;
        }
        command
            .arg("--")
            .arg(&self.programs.lab)
            .arg("answerer")
            .arg("--journal")
            .arg(self.dir().join(JOURNAL))
            .args(self.settings.misdeeds.arguments());
    }

    fn node_tables(&self, identity: &Identity, interfaces: &[String]) -> String {
        let Identity { name, group, key_file, .. } = identity;
        let (multicast, listen) = (self.place.multicast, self.place.listen);
        let journal = self.dir().join(JOURNAL);
        let mut payload =
            [path(&self.programs.lab), "answerer".into(), "--journal".into()].to_vec();
        payload.push(path(&journal));
        let misdeeds = self.settings.misdeeds.arguments();
        payload.extend(misdeeds.into_iter().map(|word| path(Path::new(&word))));
        // A string in JSON is one in TOML, and so is an array of strings.
        let mut text = format!(
            "[node]\ngroup = {}\nname = {}\nkeys = {{ 0 = {} }}\nprofile = \"{}\"\n",
            json!(group),
            json!(name),
            json!(path(key_file)),
            self.settings.profile,
        );
        for interface in interfaces {
            let _ = write!(
                text,
                "\n[[network]]\ninterface = \"{interface}\"\nmulticast = \"{multicast}\"\n"
            );
        }
        let _ = write!(
            text,
            "\n[[line]]\nname = \"{LINE}\"\nterminal_server = \"{listen}\"\ncommand = {}\n\n{}",
            json!(payload),
            self.settings.node_tables
        );
        text
    }

    /// The interfaces by which a host takes part, one for each network.
    fn interfaces(&self, host: usize) -> Vec<String> {
        match self.settings.ground {
            Ground::Loopback => vec![LOOPBACK.to_owned()],
            Ground::Network { ways: 1, ipv6: false } => vec![Network::address(host).to_string()],
            Ground::Network { ways, .. } => (0..ways).map(Network::interface).collect(),
        }
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A lab shows itself to nobody.
const LOOPBACK: &str = "127.0.0.1";
