//! The command line of `terminal-server attach`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use daemon::args::parse_time;
use daemon::terminal::{Mode, Terminal};
use daemon::{Exit, Failure, OrExit};

use super::core::{Escape, Mapping, SessionOptions};
use super::driver::Console;
use crate::driver::question::AttachFrom;

/// Opens a console on a line of a running terminal server on this machine.
///
/// It observes: it shows what the line sends, and disturbs nobody. With --hold, or after the command
/// o, it holds the line and sends what is typed, if nobody else holds it. What a holder has on the
/// screen is acknowledged and not given to the next holder.
///
/// Commands are one key after the escape key, ctrl-t unless --escape says otherwise; ctrl-t ? lists
/// them, ctrl-t q quits.
///
/// Where standard input is no terminal it is a pipe: the line's bytes go to standard output, and
/// with --hold standard input goes to the line. It ends when all of that has left the port.
///
/// Whoever may open the status socket may do this: see its owner and mode.
#[derive(Debug, Args)]
#[command(after_help = HELP, after_long_help = LONG_HELP)]
pub struct AttachArgs {
    /// The line; may be left out if there is only one
    pub line: Option<String>,
    /// The socket that the terminal server was started with
    #[arg(long, value_name = "PATH")]
    pub status: PathBuf,
    /// Hold the line from the beginning, to write to it
    #[arg(long)]
    pub hold: bool,
    /// Never hold the line
    #[arg(long, conflicts_with = "hold")]
    pub read_only: bool,
    /// Where to begin: live, with the oldest byte that is kept, or at an offset of the input
    #[arg(long, value_name = "live|oldest|OFFSET", default_value = "live", value_parser = parse_from,
          conflicts_with = "hold")]
    pub from: AttachFrom,
    /// The key before a command, as ctrl-t or ^A; none makes every key the line's
    #[arg(long, value_name = "KEY", default_value_t)]
    pub escape: Escape,
    /// Change line ends, by tio's names: INLCRNL,ONLCRNL
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub map: Mapping,
    /// Begin with the hex view
    #[arg(long)]
    pub hex: bool,
    /// Begin with the time (UTC) before each line
    #[arg(long)]
    pub timestamps: bool,
    /// Show what is typed, for lines that do not send it back
    #[arg(long)]
    pub echo: bool,
    /// In a pipe with --hold: go on for so long after the end of the input, for an answer
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_time)]
    pub linger: Duration,
}

/// Is a console until the user, a signal or the end of a pipe ends it.
///
/// # Errors
/// The line is not to be had; nobody answers on the socket.
pub fn run(args: &AttachArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_exit(Exit::OsError)?;
    let ended = runtime.block_on(async {
        // Signals before the terminal: one that comes between them must not find it raw.
        let mut console = Console::new(args).or_exit(Exit::OsError)?;
        match console.connect_first().await {
            Ok(()) => {
                let terminal = Terminal::open(Mode::Raw).or_exit(Exit::OsError)?;
                let ended = console.run().await;
                drop(terminal);
                ended
            }
            Err(failure) => Err(failure),
        }
    });
    // A thread that waits for standard input may wait for ever.
    runtime.shutdown_background();
    ended
}

impl AttachArgs {
    pub(super) fn options(&self, line: &str, interactive: bool) -> SessionOptions {
        SessionOptions {
            line: line.to_owned(),
            hold: self.hold,
            read_only: self.read_only,
            interactive,
            escape: self.escape,
            mapping: self.map,
            hex: self.hex,
            stamps: self.timestamps,
            echo: self.echo,
            linger: self.linger,
        }
    }
}

fn parse_from(text: &str) -> Result<AttachFrom, String> {
    match text {
        "live" => Ok(AttachFrom::Live),
        "oldest" => Ok(AttachFrom::Oldest),
        offset => match offset.parse() {
            Ok(offset) => Ok(AttachFrom::At { offset, incarnation: None }),
            Err(_) => Err("give live, oldest, or an offset as `status` shows it".to_owned()),
        },
    }
}

const HELP: &str = "\
Example: terminal-server attach pms --status /run/linekeeper/terminal-server.status";

const LONG_HELP: &str = "\
Examples:
  Look at a line, from the oldest byte that nobody has acknowledged:
      terminal-server attach pms --from oldest --status /run/linekeeper/terminal-server.status

  Type to a line whose device sends bare line feeds:
      terminal-server attach pms --hold --map INLCRNL --status /run/ts.status

  A protocol with control characters, in hex and with times:
      terminal-server attach pms --hex --timestamps --status /run/ts.status

  In a script: send a command, and wait a second for the answer:
      printf 'ATI\\r' | terminal-server attach modem --hold --linger 1s --status /run/ts.status

  Record a line until Ctrl-C:
      terminal-server attach pms --status /run/ts.status < /dev/null > pms.bytes

Mappings of input: INLCR, INLCRNL, ICRNL, ICRCRNL, IGNCR; of output: OCRNL, OCRCRNL, ONLCR, ONLCRNL,
OIGNCR, ODELBS. NL is the line feed, CR the carriage return, which Enter gives.

Exit status: 0 ended as asked, 64 wrong usage, 69 no terminal server answers, or it has gone, 75 the
line is held by somebody else or there is no such line, 76 the other side breaks the protocol, 77
not permitted.";
