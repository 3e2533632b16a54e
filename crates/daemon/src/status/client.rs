//! The asking side of the status socket, for subcommands and for the lab.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::{ANSWER_TIMEOUT, CLIENT_TIMEOUT, MAX_REPLY};
use crate::exit::Exit;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No daemon has the socket open. The first field is the program asked for.
    #[error("no {program} answers at {}: is it running?", path.display())]
    Nobody {
        /// The program that should answer.
        program: String,
        /// The socket.
        path: PathBuf,
    },
    /// The socket belongs to a group that this user is not in.
    #[error("{}: permission denied; is this user in the socket's group?", .0.display())]
    Permission(PathBuf),
    /// The daemon has the socket open and says nothing: it hangs or is stopped, or ended over the
    /// question.
    #[error("the {program} at {} does not answer", path.display())]
    Silent {
        /// The program that should answer.
        program: String,
        /// The socket.
        path: PathBuf,
    },
    /// The daemon's reason for a no.
    #[error("{0}")]
    Refused(String),
    /// What came is no answer.
    #[error("{}: the answer makes no sense: {reason}", path.display())]
    Nonsense {
        /// The socket.
        path: PathBuf,
        /// In which way.
        reason: String,
    },
    /// The system refused something else.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Asks the daemon at `path` and waits for its answer, [`ANSWER_TIMEOUT`] at most per step. `program` is
/// what it is called in error messages. For subcommands without a runtime.
///
/// # Errors
/// See [`RequestError`].
pub fn request(
    path: &Path,
    program: &str,
    request: &impl Serialize,
) -> Result<Value, RequestError> {
    let call = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
        tolerate_refusal(stream.write_all(&encode(request)?))?;
        let mut line = Vec::new();
        BufReader::new(stream.take(MAX_REPLY as u64)).read_until(b'\n', &mut line)?;
        some(line)
    };
    let line = call().map_err(|error| judge(path, program, error))?;
    decode(path, &line)
}

/// As [`request`], on a tokio runtime.
///
/// # Errors
/// See [`RequestError`].
pub async fn request_async(
    path: &Path,
    program: &str,
    request: &impl Serialize,
) -> Result<Value, RequestError> {
    let call = async {
        let mut stream = tokio::net::UnixStream::connect(path).await?;
        tolerate_refusal(stream.write_all(&encode(request)?).await)?;
        let mut line = Vec::new();
        let mut bounded = tokio::io::BufReader::new(stream.take(MAX_REPLY as u64));
        bounded.read_until(b'\n', &mut line).await?;
        some(line)
    };
    let called = tokio::time::timeout(ANSWER_TIMEOUT, call).await;
    let line = called
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| judge(path, program, error))?;
    decode(path, &line)
}

/// As [`request_async`], for a command whose connection goes on after the reply: that, the reply,
/// and what came after it already.
///
/// # Errors
/// See [`RequestError`].
pub async fn upgrade_async(
    path: &Path,
    program: &str,
    request: &impl Serialize,
) -> Result<(tokio::net::UnixStream, Value, Vec<u8>), RequestError> {
    let call = async {
        let mut stream = tokio::net::UnixStream::connect(path).await?;
        tolerate_refusal(stream.write_all(&encode(request)?).await)?;
        let mut line = Vec::new();
        let mut bounded = tokio::io::BufReader::new((&mut stream).take(MAX_REPLY as u64));
        bounded.read_until(b'\n', &mut line).await?;
        let after = bounded.buffer().to_vec();
        Ok((stream, some(line)?, after))
    };
    let called = tokio::time::timeout(ANSWER_TIMEOUT, call).await;
    let (stream, line, after) = called
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| judge(path, program, error))?;
    Ok((stream, decode(path, &line)?, after))
}

impl From<&RequestError> for Exit {
    fn from(error: &RequestError) -> Self {
        match error {
            RequestError::Nobody { .. } => Self::Unavailable,
            RequestError::Permission(_) => Self::Permission,
            RequestError::Silent { .. } | RequestError::Refused(_) => Self::TemporaryFailure,
            RequestError::Nonsense { .. } => Self::Protocol,
            RequestError::Io { .. } => Self::Io,
        }
    }
}

fn encode(request: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    Ok(line)
}

/// A daemon that refuses a client before it read the request closes early; why is in its reply.
fn tolerate_refusal(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
        _ => Err(error),
    })
}

/// A daemon that is killed over the question says nothing at all.
fn some(line: Vec<u8>) -> io::Result<Vec<u8>> {
    if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}

fn judge(path: &Path, program: &str, error: io::Error) -> RequestError {
    use io::ErrorKind as Kind;
    let (program, path) = (program.to_owned(), path.to_owned());
    match error.kind() {
        Kind::NotFound | Kind::ConnectionRefused => RequestError::Nobody { program, path },
        Kind::PermissionDenied => RequestError::Permission(path),
        Kind::WouldBlock | Kind::TimedOut | Kind::ConnectionReset | Kind::UnexpectedEof => {
            RequestError::Silent { program, path }
        }
        _ => RequestError::Io { path, source: error },
    }
}

fn decode(path: &Path, line: &[u8]) -> Result<Value, RequestError> {
    let nonsense = |reason| RequestError::Nonsense { path: path.to_owned(), reason };
    if line.last() != Some(&b'\n') {
        return Err(nonsense(format!("it ends after {} bytes without a line end", line.len())));
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| nonsense(error.to_string()))?;
    match value.get("error").and_then(Value::as_str) {
        Some(reason) => Err(RequestError::Refused(reason.to_owned())),
        None => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::status::{MAX_CLIENTS, MAX_REQUEST, Request, StatusError, StatusSocket, Upgraded};

    /// A daemon that answers `status` and `slow`, refuses the rest, and its socket.
    struct Daemon {
        path: PathBuf,
        stop: CancellationToken,
        served: tokio::task::JoinHandle<()>,
        _dir: tempfile::TempDir,
    }

    async fn daemon() -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        let socket = StatusSocket::bind(&path).await.unwrap();
        assert_eq!(socket.path(), path);
        let (send, mut requests) = mpsc::channel::<Request>(4);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                match request.command.as_str() {
                    "status" => {
                        let line = request.body.get("line").cloned();
                        request.reply(json!({ "phase": "running", "line": line }));
                    }
                    "slow" => drop(tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        request.reply("at last");
                    })),
                    "drop" => drop(request),
                    "echo" => {
                        request.upgrade("go on", |upgraded| drop(tokio::spawn(echo(upgraded))))
                    }
                    _ => request.refuse("no such command"),
                }
            }
        });
        let stop = CancellationToken::new();
        let served = tokio::spawn(socket.serve(send, stop.clone()));
        Daemon { path, stop, served, _dir: dir }
    }

    /// Says who is there, then gives back what comes.
    async fn echo(upgraded: Upgraded) {
        let Upgraded { mut stream, inbox, user } = upgraded;
        let mut text = format!("{user}\n").into_bytes();
        text.extend(inbox);
        stream.write_all(&text).await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    }

    #[tokio::test]
    async fn after_an_upgrade_the_connection_is_the_programs() {
        let daemon = daemon().await;
        let body = json!({ "command": "echo" });
        let (mut stream, reply, mut got) =
            upgrade_async(&daemon.path, "failover-node", &body).await.unwrap();
        assert_eq!(reply, json!("go on"));
        // The daemon's stop is for those who ask, not for those who were handed over.
        daemon.stop.cancel();
        daemon.served.await.unwrap();
        stream.write_all(b"\x00bytes").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut got).await.unwrap();
        let got = String::from_utf8(got).unwrap();
        assert!(got.starts_with("uid ") && got.ends_with("\n\0bytes"), "{got:?}");
        assert!(got.contains(&format!(" pid {}\n", std::process::id())), "{got:?}");
    }

    #[tokio::test]
    async fn what_is_sent_ahead_of_the_upgrade_is_not_lost() {
        let daemon = daemon().await;
        let mut stream = tokio::net::UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(b"{\"command\":\"echo\"}\nearly").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        assert!(got.starts_with("\"go on\"\nuid ") && got.ends_with("\nearly"), "{got:?}");
    }

    async fn ask(path: &Path, body: Value) -> Result<Value, RequestError> {
        request_async(path, "failover-node", &body).await
    }

    #[tokio::test]
    async fn a_question_gets_its_answer_by_either_client() {
        let daemon = daemon().await;
        let body = json!({ "command": "status", "line": "cash" });
        let expected = json!({ "phase": "running", "line": "cash" });
        assert_eq!(ask(&daemon.path, body.clone()).await.unwrap(), expected);
        let path = daemon.path.clone();
        let blocking = tokio::task::spawn_blocking(move || request(&path, "failover-node", &body));
        assert_eq!(blocking.await.unwrap().unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_in_plain_words() {
        let daemon = daemon().await;
        for (body, reason) in [
            (json!({ "command": "fly" }), "no such command"),
            (json!({ "command": "drop" }), "the daemon is stopping"),
            (json!({ "line": "cash" }), "the request has no `command`"),
            (json!({ "command": 7 }), "the request has no `command`"),
            (json!([1, 2]), "the request is no JSON object"),
            (json!({ "command": "x".repeat(MAX_REQUEST) }), "longer than 4096 bytes"),
        ] {
            let error = ask(&daemon.path, body).await.unwrap_err();
            assert!(matches!(error, RequestError::Refused(_)), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn many_silent_clients_do_not_pile_up() {
        let daemon = daemon().await;
        let mut silent = Vec::new();
        for _ in 0..MAX_CLIENTS {
            silent.push(tokio::net::UnixStream::connect(&daemon.path).await.unwrap());
        }
        // The order of the queue is the order of connecting, so all eight are in before this one.
        let error = ask(&daemon.path, json!({ "command": "status" })).await.unwrap_err();
        assert!(error.to_string().contains("too many clients"), "{error}");
        drop(silent);
        let served = async {
            while ask(&daemon.path, json!({ "command": "status" })).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        let served = tokio::time::timeout(Duration::from_secs(10), served);
        served.await.expect("room again within 10 s");
    }

    #[tokio::test]
    async fn a_stop_lets_the_answer_out_and_takes_the_file_away() {
        let daemon = daemon().await;
        let path = daemon.path.clone();
        let slow = tokio::spawn(async move { ask(&path, json!({ "command": "slow" })).await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        daemon.stop.cancel();
        assert_eq!(slow.await.unwrap().unwrap(), json!("at last"));
        daemon.served.await.unwrap();
        assert!(!daemon.path.exists());
        let error = ask(&daemon.path, json!({ "command": "status" })).await.unwrap_err();
        let at = daemon.path.display();
        let expected = format!("no failover-node answers at {at}: is it running?");
        assert_eq!(error.to_string(), expected);
        assert_eq!(Exit::from(&error), Exit::Unavailable);
    }

    #[tokio::test]
    async fn a_daemon_that_dies_over_the_question_is_to_be_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let death = move || {
            // Before it has read the question: that resets the connection. Then after.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 3]).unwrap();
            let (stream, _) = listener.accept().unwrap();
            BufReader::new(stream).read_until(b'\n', &mut Vec::new()).unwrap();
        };
        let dying = std::thread::spawn(death);
        for _ in 0..3 {
            let error = ask(&path, json!({ "command": "status" })).await.unwrap_err();
            assert!(matches!(error, RequestError::Silent { .. }), "{error}");
            assert_eq!(Exit::from(&error), Exit::TemporaryFailure);
        }
        dying.join().unwrap();
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        // A socket file without a process behind it, as kill -9 leaves one.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let nobody = request(&path, "terminal-server", &json!({})).unwrap_err();
        assert!(nobody.to_string().starts_with("no terminal-server answers at"), "{nobody}");

        let socket = StatusSocket::bind(&path).await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
        let error = StatusSocket::bind(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::InUse(_)), "{error}");
        drop(socket);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);

        std::fs::write(&path, "precious").unwrap();
        let error = StatusSocket::bind(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::Occupied(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");

        let missing = dir.path().join("no/such/status");
        let error = StatusSocket::bind(&missing).await.unwrap_err().to_string();
        assert!(error.contains("no/such does not exist"), "{error}");
    }
}
