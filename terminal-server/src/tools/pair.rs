//! `terminal-server pair`: a null-modem cable without the serial ports.

use std::path::{Path, PathBuf};

use clap::Args;
use daemon::owner::{Owner, parse_mode};
use daemon::program::print;
use daemon::{Exit, Failure, OrExit, Signals};
use sys::{Cable, CablePace, LineSettings};

/// Makes two pseudo terminals with a null-modem cable between them, linked as A and B.
///
/// What a program writes to A comes out at B, and the other way round, until SIGTERM, SIGINT or
/// SIGHUP ends the pair; then both links are removed. Programs may open and close the ends as they
/// like: the cable stays plugged in. What nobody reads yet waits, some kilobytes of it; then the
/// writer waits. Nothing is dropped and nothing is changed on the way.
///
/// A character takes as long as it would on a real line, so time-outs and windows of a protocol
/// can be tried; --fast is for those who only want the bytes.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub struct PairArgs {
    /// Name of one end, a symbolic link that is made here; one that a killed pair left is replaced
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Name of the other end
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Speed and form of the characters, which give their time; the ends' own settings change nothing
    #[arg(long, value_name = "SETTINGS", default_value = "9600,8N1", conflicts_with = "fast")]
    pub settings: LineSettings,
    /// Pass on bytes as fast as they come
    #[arg(long)]
    pub fast: bool,
    /// Who may open the ends
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = parse_mode)]
    pub mode: u32,
    /// Who owns the ends, by names or numbers; takes root to give them away
    #[arg(long, value_name = "USER[:GROUP]")]
    pub owner: Option<Owner>,
}

/// Is the cable until a signal comes.
///
/// # Errors
/// The ends cannot be made, or not be given to that owner.
pub fn run(args: &PairArgs) -> Result<(), Failure> {
    if same(&args.a, &args.b) {
        return Err(Failure::new(Exit::Usage, "A and B are the same name; give two"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.or_exit(Exit::OsError)?.block_on(relay(args))
}

async fn relay(args: &PairArgs) -> Result<(), Failure> {
    // Before there is anything that would have to be removed.
    let mut signals = Signals::listen().or_exit(Exit::OsError)?;
    let pace = (!args.fast).then_some(args.settings);
    let pace = CablePace { a_to_b: pace, b_to_a: pace };
    let mut cable = Cable::open(Some(&args.a), Some(&args.b), pace)
        .map_err(|error| Failure::new((&error).into(), error.to_string()))?;
    let (slave_a, slave_b) = cable.slaves();
    for (slave, link) in [(slave_a, &args.a), (slave_b, &args.b)] {
        let owner = args.owner.unwrap_or_default();
        owner.apply(Some(args.mode), slave).map_err(|error| {
            let message = format!("{}: failed to set owner and mode: {error}", link.display());
            Failure::new((&error).into(), message)
        })?;
    }
    print(&ready(&cable, args))?;
    daemon::notify::ready("the pair is there");
    let ended = cable.run(async { _ = signals.recv().await }).await;
    daemon::notify::stopping();
    ended.or_exit(Exit::Io)
}

/// One line, so that a script that reads it knows that both links are there.
fn ready(cable: &Cable, args: &PairArgs) -> String {
    let (a, b) = (cable.path_a().display(), cable.path_b().display());
    if args.fast {
        return format!("{a} <-> {b}, as fast as it goes\n");
    }
    let settings = args.settings;
    let per_second = settings.chars_in(std::time::Duration::from_secs(1));
    format!("{a} <-> {b}, {settings}: {per_second} characters a second\n")
}

/// Whether two names are of one directory entry, as far as can be said before there is one.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new(".")).canonicalize().ok();
        (directory, path.file_name().map(ToOwned::to_owned))
    };
    a == b || real(a) == real(b)
}

const HELP: &str = "\
Example: terminal-server pair /tmp/near /tmp/far --settings 115200,8N1";

const LONG_HELP: &str = "\
Examples:
  A cable at 9600 baud between two programs of this machine:
      terminal-server pair /tmp/near /tmp/far

  In place of: socat pty,raw,echo=0,link=/tmp/near pty,raw,echo=0,link=/tmp/far
      terminal-server pair --fast /tmp/near /tmp/far

  For a program that runs as another user:
      terminal-server pair --owner billing:dialout --mode 0660 /run/near /run/far

  A terminal server to try things with, and a look at its line from the other end:
      terminal-server pair /tmp/near /tmp/far &
      terminal-server --serial /tmp/near --listen-raw 127.0.0.1:4001 &
      cat /tmp/far

When both links are there one line says so on standard output. Pseudo terminals have no modem
wires, no break and no parity errors; an end's speed may be set and has no effect.

Exit status: 0 ended by a signal, 64 wrong usage, 71 the system gave no pseudo terminal, 73 a link
cannot be made (its directory is missing, or something else has that name), 77 not permitted.";
