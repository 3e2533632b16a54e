//! What every `main` does alike: parse, print, serve until a signal, help texts in other forms.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use crate::{Exit, Failure, OrExit, SignalEvent, Signals};

/// The command line.
///
/// # Errors
/// The status to end with: help and version have been printed, or the message about a wrong flag.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        // If the message cannot be printed there is nobody to tell.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
    })
}

/// Runs `service` on one thread until it ends. The first SIGTERM or SIGINT cancels its token; at a
/// second one it is dropped, and `given_up` says what that means.
///
/// # Errors
/// Those of `service`; what the system refused; a second signal.
pub fn serve(
    service: impl AsyncFnOnce(CancellationToken) -> Result<(), Failure>,
    given_up: &str,
) -> Result<(), Failure> {
    let service = async |shutdown, hangups| {
        drop(hangups);
        service(shutdown).await
    };
    serve_reloading(service, given_up)
}

/// As [`serve`], for a service that reads its configuration again at SIGHUP. While it does, further
/// ones count as one. Without interest in them it drops the receiver.
///
/// # Errors
/// As [`serve`].
pub fn serve_reloading(
    service: impl AsyncFnOnce(CancellationToken, mpsc::Receiver<()>) -> Result<(), Failure>,
    given_up: &str,
) -> Result<(), Failure> {
    // One thread: if the loop hangs, all that shows it to be alive hangs with it (I8).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_exit(Exit::OsError)?;
    let ended = runtime.block_on(async {
        let signals = Signals::listen().or_exit(Exit::OsError)?;
        let shutdown = CancellationToken::new();
        let (hangup, hangups) = mpsc::channel(1);
        tokio::select! {
            // In order is in order, even when a second signal comes in the same instant.
            biased;
            ended = service(shutdown.clone(), hangups) => ended,
            signal = second_signal(signals, shutdown, hangup) => {
                let message = format!("stopped by a second {signal}; {given_up}");
                Err(Failure::new(Exit::TemporaryFailure, message))
            }
        }
    });
    // Neither a write to a dead disk nor a look-up of a name may keep the process.
    runtime.shutdown_background();
    ended
}

/// Passes signals on; the name of the second one that asks for an end.
async fn second_signal(
    mut signals: Signals,
    shutdown: CancellationToken,
    hangup: mpsc::Sender<()>,
) -> &'static str {
    loop {
        match signals.recv().await {
            SignalEvent::Stop(reason) => {
                tracing::info!(reason, "stopping");
                crate::notify::stopping();
                shutdown.cancel();
            }
            SignalEvent::StopNow(signal) => return signal,
            SignalEvent::Hangup => {
                if let Err(TrySendError::Closed(())) = hangup.try_send(()) {
                    tracing::info!("SIGHUP: there is no configuration to read anew");
                    // `systemctl reload` waits for both words.
                    crate::notify::reloading();
                    crate::notify::reloaded();
                }
            }
        }
    }
}

/// Prints shell completions.
pub fn completions<C: CommandFactory>(shell: Shell) {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut io::stdout());
}

/// Prints a manual page: the program's, or a subcommand's.
///
/// # Errors
/// There is no such subcommand; output failed.
pub fn man<C: CommandFactory>(subcommand: Option<&str>) -> Result<(), Failure> {
    let mut command = C::command();
    command.build();
    let page = match subcommand {
        None => clap_mangen::Man::new(command),
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            let found = found.ok_or("there is no such subcommand").or_exit(Exit::Usage)?;
            clap_mangen::Man::new(found).title(format!("{}-{name}", command.get_name()))
        }
    };
    let mut text = Vec::new();
    page.render(&mut text).or_exit(Exit::Io)?;
    print(&String::from_utf8_lossy(&text))
}

/// Prints on standard output; a reader that has gone has seen enough.
///
/// # Errors
/// Output failed in another way.
pub fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, error.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// The body of the next test, in a process with signals of its own.
    #[test]
    fn serving_body() {
        if std::env::var_os("DAEMON_TEST_SERVE").is_none() {
            return;
        }
        let service = async |shutdown: CancellationToken| {
            crate::notify::ready("up");
            shutdown.cancelled().await;
            Ok(())
        };
        serve(service, "").unwrap();
    }

    #[test]
    fn a_reload_is_answered_where_there_is_nothing_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let heard = || {
            let mut buf = [0; 256];
            let n = systemd.recv(&mut buf).unwrap();
            String::from_utf8(buf[..n].to_vec()).unwrap()
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program::tests::serving_body"])
            .env("DAEMON_TEST_SERVE", "1")
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        assert!(heard().starts_with("READY=1\n"));
        kill_process(pid, Signal::HUP).unwrap();
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(heard(), "READY=1\n");
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(heard(), "STOPPING=1\n");
        assert!(child.wait().unwrap().success());
    }
}
