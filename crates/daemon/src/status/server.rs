//! The daemon's side of the status socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CLIENT_TIMEOUT, DRAIN_TIMEOUT, MAX_CLIENTS, MAX_REQUEST, REPLY_TIMEOUT};

/// A bound status socket. The file is removed on drop if it is still ours.
#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// One question to the program's loop. Dropping it unanswered tells the client so.
#[derive(Debug)]
pub struct Request {
    /// The `command` of the request, as `status` or `handover`.
    pub command: String,
    /// The whole object as sent, `command` included.
    pub body: Map<String, Value>,
    reply: oneshot::Sender<Reply>,
}

/// A connection whose request was answered and that now belongs to the program.
#[derive(Debug)]
pub struct Upgraded {
    /// The connection, past the line end of the reply.
    pub stream: UnixStream,
    /// What the client has sent after its request already.
    pub inbox: Vec<u8>,
    /// The process at the other end, for people: `uid 1000 pid 4711`.
    pub user: String,
}

/// The one value that is sent, and who gets the connection after that.
struct Reply {
    value: Value,
    then: Option<Box<dyn FnOnce(Upgraded) + Send>>,
}

/// Why there is no status socket. Nothing was replaced then.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Somebody answers there.
    #[error("{}: another daemon answers here; give each its own socket", .0.display())]
    InUse(PathBuf),
    /// There is a file of another kind.
    #[error("{}: exists and is no socket; not replaced", .0.display())]
    Occupied(PathBuf),
    /// The directory is not there.
    #[error("{}: directory {} does not exist; make it first", path.display(), directory.display())]
    NoDirectory {
        /// The socket asked for.
        path: PathBuf,
        /// Its directory.
        directory: PathBuf,
    },
    /// The system refused.
    #[error("{}: failed to bind the status socket: {source}", path.display())]
    Io {
        /// The socket asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StatusSocket {
    /// Binds `path` with mode 0660. A socket that a killed daemon left is replaced, after a try
    /// that nobody answers on it. Needs a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub async fn bind(path: &Path) -> Result<Self, StatusError> {
        let failed = |source| StatusError::Io { path: path.to_owned(), source };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
            let directory = directory.to_owned();
            return Err(StatusError::NoDirectory { path: path.to_owned(), directory });
        }
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(meta) if !meta.file_type().is_socket() => {
                return Err(StatusError::Occupied(path.to_owned()));
            }
            Ok(_) => match timeout(CLIENT_TIMEOUT, UnixStream::connect(path)).await {
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                // It answers, or its queue is full, or only others may ask: it lives.
                _ => return Err(StatusError::InUse(path.to_owned())),
            },
        }
        // Bound aside, then renamed over: no moment with another mode or without the name.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = SocketFile::new(PathBuf::from(aside));
        let _ = fs::remove_file(&aside.path);
        let listener = UnixListener::bind(&aside.path).map_err(failed)?;
        let mut file = aside.owned().map_err(failed)?;
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        fs::rename(&file.path, path).map_err(failed)?;
        file.path = path.to_owned();
        Ok(Self { listener, file })
    }

    /// Where it is bound.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves clients until `stop`, then lets those that are being answered have their answer. The
    /// loop at the other end of `requests` decides everything.
    pub async fn serve(self, requests: mpsc::Sender<Request>, stop: CancellationToken) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                // First, so that busy clients cannot keep a daemon alive.
                biased;
                () = stop.cancelled() => break,
                Some(_) = clients.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn(converse(stream, requests.clone()));
                }
                Ok((mut stream, _)) => {
                    // Fits into an empty socket buffer, so it is written at once or not at all.
                    let _ = stream.try_write(&line(&refusal("too many clients; try again")));
                    let _ = timeout(CLIENT_TIMEOUT, stream.shutdown()).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a status client");
                    // Out of descriptors: without a pause this would spin.
                    let pause = tokio::time::sleep(DRAIN_TIMEOUT);
                    tokio::select! { () = stop.cancelled() => break, () = pause => {} }
                }
            }
        }
        let drained = async { while clients.join_next().await.is_some() {} };
        let _ = timeout(DRAIN_TIMEOUT, drained).await;
    }
}

impl Request {
    /// A request that did not come from the socket, and where its answer will arrive.
    pub fn new(
        command: &str,
        body: Map<String, Value>,
    ) -> (Self, impl Future<Output = Option<Value>>) {
        let (request, answer) = Self::with_reply(command, body);
        (request, async { answer.await.ok().map(|reply| reply.value) })
    }

    fn with_reply(command: &str, body: Map<String, Value>) -> (Self, oneshot::Receiver<Reply>) {
        let (reply, answer) = oneshot::channel();
        (Self { command: command.to_owned(), body, reply }, answer)
    }

    /// Answers with `value`. Never waits; a client that has gone is no error.
    pub fn reply(self, value: impl Serialize) {
        let _ = self.reply.send(Reply { value: to_value(value), then: None });
    }

    /// Answers with `value`, and when the client has been sent that, `then` gets the connection. It
    /// is called on the runtime's thread and may not wait. It is not called if the client has gone.
    pub fn upgrade(self, value: impl Serialize, then: impl FnOnce(Upgraded) + Send + 'static) {
        let _ = self.reply.send(Reply { value: to_value(value), then: Some(Box::new(then)) });
    }

    /// Refuses with a reason in plain words.
    pub fn refuse(self, reason: &str) {
        let _ = self.reply.send(Reply { value: refusal(reason), then: None });
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value, then } = self;
        f.debug_struct("Reply").field("value", value).field("upgrade", &then.is_some()).finish()
    }
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value)
        .unwrap_or_else(|error| refusal(&format!("the answer is no JSON: {error}")))
}

/// One client from request to reply.
async fn converse(mut stream: UnixStream, requests: mpsc::Sender<Request>) {
    let mut inbox = Vec::new();
    let reply = match timeout(CLIENT_TIMEOUT, read_request(&mut stream, &mut inbox)).await {
        Ok(Ok(body)) => ask(body, &requests).await,
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err("no request came in time".to_owned()),
    };
    let Reply { value, then } =
        reply.unwrap_or_else(|reason| Reply { value: refusal(&reason), then: None });
    // A client that does not take its answer has gone; there is nobody to tell.
    let sent = timeout(CLIENT_TIMEOUT, stream.write_all(&line(&value))).await;
    if let (Some(then), Ok(Ok(()))) = (then, sent) {
        let user = user(&stream);
        then(Upgraded { stream, inbox, user });
    }
}

async fn ask(body: Map<String, Value>, requests: &mpsc::Sender<Request>) -> Result<Reply, String> {
    let Some(command) = body.get("command").and_then(Value::as_str).map(str::to_owned) else {
        return Err("the request has no `command`".to_owned());
    };
    let (request, answer) = Request::with_reply(&command, body);
    if requests.try_send(request).is_err() {
        return Err("the daemon is busy or stopping".to_owned());
    }
    match timeout(REPLY_TIMEOUT, answer).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(_)) => Err("the daemon is stopping".to_owned()),
        Err(_) => Err("the daemon did not answer in time".to_owned()),
    }
}

fn user(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(cred) => {
            let pid = cred.pid().map(|pid| format!(" pid {pid}")).unwrap_or_default();
            format!("uid {}{pid}", cred.uid())
        }
        Err(_) => "local".to_owned(),
    }
}

/// The request; what came with it and after it goes into `after`.
async fn read_request(
    stream: &mut UnixStream,
    after: &mut Vec<u8>,
) -> Result<Map<String, Value>, String> {
    let mut text = Vec::new();
    let mut bounded = BufReader::new(stream.take(MAX_REQUEST as u64));
    bounded.read_until(b'\n', &mut text).await.map_err(|error| error.to_string())?;
    after.extend_from_slice(bounded.buffer());
    if text.last() != Some(&b'\n') {
        return Err(if text.len() == MAX_REQUEST {
            format!("the request is longer than {MAX_REQUEST} bytes")
        } else {
            "the request has no line end".to_owned()
        });
    }
    serde_json::from_slice(&text).map_err(|error| format!("the request is no JSON object: {error}"))
}

fn refusal(reason: &str) -> Value {
    json!({ "error": reason })
}

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// A socket's file, removed on drop unless the name has come to mean another file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, once it is ours.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: PathBuf) -> Self {
        Self { path, identity: None }
    }

    fn owned(mut self) -> io::Result<Self> {
        self.identity = Some(identity(&self.path)?);
        Ok(self)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path).ok() == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|meta| (meta.dev(), meta.ino()))
}
