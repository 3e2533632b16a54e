//! What the status socket is asked about single lines: `clients`, `kick`, `attach`.
//!
//! Each request names its line, unless there is only one. The line's own loop answers.

use daemon::{Request, Upgraded};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use wire::Name;

use super::question::{Attach, AttachFrom, ClientReport, Kick, LineQuestion};

/// The lines by name, and where each is asked.
pub type Lines = [(Name, mpsc::Sender<LineQuestion>)];

/// Who is connected to a line: the answer to `clients` and to `kick`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsReport {
    /// The line.
    pub line: String,
    /// Its clients, or those of them that were closed.
    pub clients: Vec<ClientReport>,
}

/// A console was let in: the answer to `attach`. Frames follow it on the same connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The line.
    pub line: String,
}

/// What `kick` is to say beside its line.
#[derive(Debug, Serialize, Deserialize)]
pub struct KickRequest {
    /// Always `kick`.
    pub command: String,
    /// The line; without it the only one.
    pub line: Option<String>,
    /// Whom.
    pub who: Kick,
}

/// What `attach` is to say beside its line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Always `attach`.
    pub command: String,
    /// The line; without it the only one.
    pub line: Option<String>,
    /// To hold the line, and not only to observe.
    #[serde(default)]
    pub hold: bool,
    /// Where an observer begins.
    #[serde(default)]
    pub from: AttachFrom,
}

/// Answers what is about one line. Waits for that line's loop, so one that hangs must not keep
/// questions about others waiting: call it in a task of its own.
pub async fn answer(request: Request, lines: &Lines) {
    let (line, ask) = match find(lines, request.body.get("line")) {
        Ok(found) => found,
        Err(reason) => return request.refuse(&reason),
    };
    match request.command.as_str() {
        "clients" => {
            let (answer, answered) = oneshot::channel();
            report(request, line, ask, LineQuestion::Clients(answer), answered).await;
        }
        "kick" => match parse::<KickRequest>(&request) {
            Ok(KickRequest { who, .. }) => {
                let (answer, answered) = oneshot::channel();
                report(request, line, ask, LineQuestion::Kick { who, answer }, answered).await;
            }
            Err(reason) => request.refuse(&reason),
        },
        "attach" => match parse::<AttachRequest>(&request) {
            Ok(asked) => attach(request, line, ask, &asked).await,
            Err(reason) => request.refuse(&reason),
        },
        other => {
            let known = "it answers status, clients, kick, attach";
            let reason = format!("a terminal server does not know `{other}`; {known}");
            request.refuse(&reason);
        }
    }
}

async fn report(
    request: Request,
    line: &Name,
    ask: &mpsc::Sender<LineQuestion>,
    question: LineQuestion,
    answered: oneshot::Receiver<Vec<ClientReport>>,
) {
    // If either fails the line has ended.
    if ask.send(question).await.is_ok()
        && let Ok(clients) = answered.await
    {
        request.reply(ClientsReport { line: line.to_string(), clients });
    } else {
        request.refuse(&format!("line {line} is stopping"));
    }
}

async fn attach(
    request: Request,
    line: &Name,
    ask: &mpsc::Sender<LineQuestion>,
    asked: &AttachRequest,
) {
    // A place in the queue first: after the reply it is too late to say no.
    let Ok(place) = ask.clone().reserve_owned().await else {
        return request.refuse(&format!("line {line} is stopping"));
    };
    let (hold, from) = (asked.hold, asked.from);
    let then = move |Upgraded { stream, inbox, user }| {
        place.send(LineQuestion::Attach(Attach { stream, inbox, hold, from, user }));
    };
    request.upgrade(Attached { line: line.to_string() }, then);
}

fn find<'a>(
    lines: &'a Lines,
    asked: Option<&Value>,
) -> Result<(&'a Name, &'a mpsc::Sender<LineQuestion>), String> {
    let found = match asked.filter(|asked| !asked.is_null()) {
        None if lines.len() == 1 => lines.first(),
        None => return Err(format!("say which line: {}", names(lines))),
        Some(asked) => {
            let asked = asked.as_str().unwrap_or_default();
            let found = lines.iter().find(|(name, _)| name.as_str() == asked);
            return match found {
                Some((name, ask)) => Ok((name, ask)),
                None => Err(format!("there is no line `{asked}`, but {}", names(lines))),
            };
        }
    };
    found.map(|(name, ask)| (name, ask)).ok_or_else(|| "there is no line".to_owned())
}

/// Enough of them to see what is meant.
fn names(lines: &Lines) -> String {
    let mut names: Vec<_> = lines.iter().take(NAMES).map(|(name, _)| name.as_str()).collect();
    if lines.len() > NAMES {
        names.push("...");
    }
    names.join(", ")
}

fn parse<T: for<'a> Deserialize<'a>>(request: &Request) -> Result<T, String> {
    serde_json::from_value(Value::Object(request.body.clone()))
        .map_err(|error| format!("`{}`: {error}", request.command))
}

/// Names of lines in an error message.
const NAMES: usize = 20;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// A line's loop with two clients, as far as it answers questions.
    fn line() -> (mpsc::Sender<LineQuestion>, mpsc::Receiver<Attach>) {
        let (ask, mut questions) = mpsc::channel(2);
        let (attached, arrivals) = mpsc::channel(2);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                match question {
                    LineQuestion::Clients(answer) => drop(answer.send(vec![client(1), client(2)])),
                    LineQuestion::Kick { who: Kick::Client(id), answer } => {
                        drop(answer.send(vec![client(id)]));
                    }
                    LineQuestion::Kick { answer, .. } => drop(answer.send(Vec::new())),
                    LineQuestion::Attach(attach) => attached.send(attach).await.unwrap(),
                    LineQuestion::Report(_) | LineQuestion::SetGroups { .. } => {}
                }
            }
        });
        (ask, arrivals)
    }

    fn client(id: u64) -> ClientReport {
        ClientReport {
            id,
            address: "127.0.0.1:5000".to_owned(),
            kind: "raw".to_owned(),
            role: "observer".to_owned(),
            name: None,
            connected_ms: 1000,
            bytes_in: 0,
            bytes_out: 5,
            lag: 0,
        }
    }

    async fn ask(lines: &Lines, body: Value) -> Value {
        let Value::Object(body) = body else { panic!("no object") };
        let command = body["command"].as_str().unwrap().to_owned();
        let (request, answer) = Request::new(&command, body);
        super::answer(request, lines).await;
        answer.await.unwrap()
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn each_request_reaches_its_line() {
        let (ask_pms, _arrivals) = line();
        let (ask_cdr, _more) = line();
        let lines = [(name("pms"), ask_pms), (name("cdr"), ask_cdr)];
        let reply = ask(&lines, json!({ "command": "clients", "line": "cdr" })).await;
        let report: ClientsReport = serde_json::from_value(reply).unwrap();
        assert_eq!(report.line, "cdr");
        assert_eq!(report.clients, [client(1), client(2)]);
        let kick = json!({ "command": "kick", "line": "pms", "who": { "client": 7 } });
        let report: ClientsReport = serde_json::from_value(ask(&lines, kick).await).unwrap();
        assert_eq!((report.line.as_str(), report.clients), ("pms", vec![client(7)]));
        let kick = json!({ "command": "kick", "line": "pms", "who": "observers" });
        let report: ClientsReport = serde_json::from_value(ask(&lines, kick).await).unwrap();
        assert_eq!(report.clients, []);
    }

    #[tokio::test]
    async fn a_request_that_names_no_line_means_the_only_one() {
        let (ask_pms, _arrivals) = line();
        let lines = [(name("pms"), ask_pms)];
        let reply = ask(&lines, json!({ "command": "clients" })).await;
        assert_eq!(reply["line"], "pms");
        let lines = [lines[0].clone(), (name("cdr"), lines[0].1.clone())];
        for (body, reason) in [
            (json!({ "command": "clients" }), "say which line: pms, cdr"),
            (json!({ "command": "clients", "line": "x" }), "there is no line `x`, but pms, cdr"),
            (json!({ "command": "kick", "line": "pms" }), "`kick`: missing field `who`"),
            (
                json!({ "command": "attach", "line": "pms", "hold": 7 }),
                "`attach`: invalid type: integer `7`, expected a boolean",
            ),
            (
                json!({ "command": "fly", "line": "pms" }),
                "a terminal server does not know `fly`; it answers status, clients, kick, attach",
            ),
        ] {
            assert_eq!(ask(&lines, body).await["error"], reason);
        }
    }

    #[tokio::test]
    async fn a_line_that_has_ended_says_so() {
        let (ask_pms, questions) = mpsc::channel(1);
        drop(questions);
        let lines = [(name("pms"), ask_pms)];
        for command in ["clients", "attach"] {
            let reply = ask(&lines, json!({ "command": command })).await;
            assert_eq!(reply["error"], "line pms is stopping", "{command}");
        }
    }

    #[tokio::test]
    async fn a_console_is_handed_to_its_line() {
        let (ask_pms, mut arrivals) = line();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status");
        let socket = daemon::StatusSocket::bind(&path).await.unwrap();
        let (send, mut requests) = mpsc::channel::<Request>(4);
        tokio::spawn(socket.serve(send, daemon::CancellationToken::new()));
        tokio::spawn(async move {
            let lines = [(name("pms"), ask_pms)];
            while let Some(request) = requests.recv().await {
                answer(request, &lines).await;
            }
        });
        let request = AttachRequest {
            command: "attach".to_owned(),
            line: None,
            hold: true,
            from: AttachFrom::At { offset: 17, incarnation: None },
        };
        let (mut console, reply, after) =
            daemon::status::upgrade_async(&path, "terminal-server", &request).await.unwrap();
        let Attached { line } = serde_json::from_value(reply).unwrap();
        assert_eq!((line.as_str(), after.len()), ("pms", 0));
        let attach = arrivals.recv().await.unwrap();
        assert!(attach.hold);
        assert_eq!(attach.from, AttachFrom::At { offset: 17, incarnation: None });
        assert!(attach.user.starts_with("uid "), "{}", attach.user);
        attach.stream.try_write(b"frames").unwrap();
        drop(attach);
        let mut got = String::new();
        console.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "frames");
    }
}
