//! The whole file: from its text to checked options.

use std::path::Path;

use daemon::config::{ConfigErrors, Findings, Section, document};
use daemon::{Exit, Failure, LogFormat, OrExit};
use wire::Name;

use super::keys::{self, KeyReader};
use super::node::NodeSection;
use super::{advice, commands, line, network};
use crate::driver::Options;

/// What a file says.
#[derive(Debug, Clone)]
pub struct Config {
    /// For the node.
    pub options: Options,
    /// What to log.
    pub log: Option<String>,
    /// How.
    pub log_format: Option<LogFormat>,
    /// What is allowed and unwise.
    pub warnings: Vec<String>,
}

impl Config {
    /// What `text`, the content of `path`, says. A `name` given here goes before that of the text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        path: &Path,
        text: &str,
        name: Option<&Name>,
        reader: KeyReader<'_>,
    ) -> Result<Self, ConfigErrors> {
        let table = document(path, text)?;
        let mut file = Section::new("", 0..0, table.get_ref());
        let mut findings = Findings::new(text);
        let node = NodeSection::read(&mut file, &mut findings, (reader, name));
        let networks = network::read(&mut file, &mut findings);
        let lines = line::read(&mut file, &mut findings, node.behaviour.membership);
        let check = commands::check(&mut file, &mut findings);
        let hooks = commands::hooks(&mut file, &mut findings);
        file.finish(&mut findings);
        findings.end(path)?;
        let mut warnings = node.warnings;
        let options = Options {
            group: node.group,
            node: node.node,
            keys: node.keys,
            networks,
            lines,
            profile: node.profile,
            behaviour: node.behaviour,
            maintenance: node.maintenance,
            check,
            hooks,
            events: node.events,
            status: node.status,
            own_process: true,
        };
        warnings.extend(advice::of(&options, node.ranked));
        let (log, log_format) = (node.log, node.log_format);
        Ok(Self { options, log, log_format, warnings })
    }

    /// What flags say, which know nothing of the rest.
    pub(crate) fn of_flags(options: Options) -> Self {
        Self { options, log: None, log_format: None, warnings: Vec::new() }
    }

    /// Reads the file of a node that is to run, under this name if there is one.
    ///
    /// # Errors
    /// It cannot be read, or everything that is wrong with it.
    pub fn read(file: &Path, name: Option<&Name>) -> Result<Self, Failure> {
        Self::read_with(file, name, &keys::read)
    }

    /// As [`Config::read`], for a check.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn look_at(file: &Path) -> Result<Self, Failure> {
        Self::read_with(file, None, &keys::look_at)
    }

    fn read_with(file: &Path, name: Option<&Name>, reader: KeyReader<'_>) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", file.display())))?;
        Self::parse(file, &text, name, reader).or_exit(Exit::Usage)
    }
}
