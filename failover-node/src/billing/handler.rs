//! What happens with records once they are durable.

use std::future::pending;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use billing::Reply;
use serde::Deserialize;
use sys::{BootTimer, boottime};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::options::HandlerOptions;

/// A record for a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// The store's name for the row.
    pub(crate) id: u64,
    /// The record as one line of JSON, without its end.
    pub(crate) json: String,
}

/// What a handler says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It has dealt with the record.
    Done { id: u64, reply: Reply },
    /// It could not, and gets it again later.
    Failed { id: u64, why: String },
    /// It has ended, or could not be started; all that it had not dealt with it gets again, when
    /// [`Handler::is_ready`] says so.
    Ended { why: String },
}

/// A handler of any kind. It has one batch of tasks at a time.
#[derive(Debug)]
pub(crate) struct Handler {
    kind: Kind,
    /// When a program that ended is started again, or a failed record tried again.
    rest: Option<Duration>,
    timer: BootTimer,
}

#[derive(Debug)]
enum Kind {
    /// Rows stay for whoever reads the store.
    Store,
    /// A thread prints, because a pipe that nobody empties blocks.
    Stdout {
        tasks: mpsc::Sender<Vec<Task>>,
        printed: mpsc::Receiver<io::Result<Vec<u64>>>,
    },
    Exec {
        words: Vec<String>,
        program: Option<Program>,
    },
}

#[derive(Debug)]
struct Program {
    _child: Child,
    tasks: mpsc::Sender<Vec<Task>>,
    lines: mpsc::Receiver<String>,
}

/// A program's answer to one record: one line of JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// The record's `id`.
    id: u64,
    /// Two characters of a refusal, for a command.
    #[serde(default)]
    error: Option<String>,
    /// Why it could not be dealt with now: it comes again.
    #[serde(default)]
    failed: Option<String>,
}

impl Handler {
    /// `output` is the node's standard output, for [`HandlerOptions::Stdout`].
    ///
    /// # Errors
    /// The system gave no timer or no thread.
    pub(crate) fn new(options: &HandlerOptions, output: Option<OwnedFd>) -> io::Result<Self> {
        let kind = match (options, output) {
            (HandlerOptions::Store, _) => Kind::Store,
            (HandlerOptions::Exec(words), _) => Kind::Exec { words: words.clone(), program: None },
            (HandlerOptions::Stdout, Some(output)) => print_on(output)?,
            (HandlerOptions::Stdout, None) => {
                return Err(io::Error::other("the node left no standard output to print on"));
            }
        };
        Ok(Self { kind, rest: None, timer: BootTimer::new()? })
    }

    /// Whether rows are given to it at all.
    pub(crate) fn takes_rows(&self) -> bool {
        !matches!(self.kind, Kind::Store)
    }

    /// Whether a batch may be given to it now, as far as it knows; ask it only when it has none.
    pub(crate) fn is_ready(&self) -> bool {
        self.takes_rows() && self.rest.is_none_or(|at| at <= boottime())
    }

    /// Gives it a batch. One that was given before must be dealt with, or [`Said::Ended`] told.
    pub(crate) fn give(&mut self, batch: Vec<Task>) {
        self.rest = None;
        match &mut self.kind {
            Kind::Store => {}
            // The channels hold one batch, which is all there is at a time. If the other side is
            // gone, its end is told by `said`.
            Kind::Stdout { tasks, .. } => drop(tasks.try_send(batch)),
            Kind::Exec { words, program } => {
                if program.is_none() {
                    *program = match Program::start(words) {
                        Ok(program) => Some(program),
                        Err(error) => {
                            eprintln!("handler-failed program={:?} error={error}", words[0]);
                            None
                        }
                    };
                }
                if let Some(program) = program {
                    let _ = program.tasks.try_send(batch);
                }
            }
        }
    }

    /// Gives it nothing for a while.
    pub(crate) fn rest(&mut self) {
        self.rest = Some(boottime() + REST);
    }

    /// What it says next, if it has a batch; else waits until a rest is over, and says nothing.
    /// Cancel-safe.
    pub(crate) async fn event(&mut self, has_batch: bool) -> Vec<Said> {
        if has_batch {
            return self.said().await;
        }
        match self.rest {
            Some(at) => self.timer.until(Some(at)).await,
            None => pending().await,
        }
        self.rest = None;
        Vec::new()
    }

    async fn said(&mut self) -> Vec<Said> {
        match &mut self.kind {
            Kind::Store => pending().await,
            Kind::Stdout { printed, .. } => match printed.recv().await {
                Some(Ok(ids)) => {
                    ids.into_iter().map(|id| Said::Done { id, reply: Reply::Ok }).collect()
                }
                Some(Err(error)) => vec![Said::Ended { why: format!("standard output: {error}") }],
                None => pending().await,
            },
            Kind::Exec { program, words } => {
                let ended = |why: &str| vec![Said::Ended { why: format!("{}: {why}", words[0]) }];
                let Some(running) = program else { return ended("not started") };
                let Some(line) = running.lines.recv().await else {
                    *program = None;
                    return ended("it has ended");
                };
                let mut all = Vec::new();
                let mut next = Some(line);
                // All that is there, so that one commit does for all of it.
                while let Some(line) = next {
                    match parse(&line) {
                        Ok(said) => all.push(said),
                        Err(why) => {
                            all.append(&mut ended(&why));
                            *program = None;
                            break;
                        }
                    }
                    next = running.lines.try_recv().ok();
                }
                all
            }
        }
    }
}

fn parse(line: &str) -> Result<Said, String> {
    let shown = || line.chars().take(80).collect::<String>();
    let answer: Answer = serde_json::from_str(line)
        .map_err(|error| format!("`{}` is no answer such as {{\"id\":1}}: {error}", shown()))?;
    match (answer.failed, answer.error) {
        (Some(why), _) => Ok(Said::Failed { id: answer.id, why }),
        (None, None) => Ok(Said::Done { id: answer.id, reply: Reply::Ok }),
        (None, Some(error)) => match error.as_bytes() {
            [a @ b'!'..=b'~', b @ b'!'..=b'~'] => {
                Ok(Said::Done { id: answer.id, reply: Reply::Error([*a, *b]) })
            }
            _ => Err(format!("`{}`: error has two characters", shown())),
        },
    }
}

impl Program {
    fn start(words: &[String]) -> io::Result<Self> {
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (tasks, mut batches) = mpsc::channel::<Vec<Task>>(1);
        let (sender, lines) = mpsc::channel(MAX_BATCH);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        // Tasks of their own, so that no partial line is lost when the loop turns to other things.
        tokio::spawn(async move {
            let Some(mut stdin) = stdin else { return };
            while let Some(batch) = batches.recv().await {
                let text: String = batch.into_iter().map(|task| task.json + "\n").collect();
                if stdin.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let Some(stdout) = stdout else { return };
            let mut reader = BufReader::new(tokio::io::AsyncReadExt::take(stdout, MAX_LINE));
            let mut line = String::new();
            while let Ok(1..) = reader.read_line(&mut line).await {
                let whole = line.ends_with('\n');
                if !whole || sender.send(std::mem::take(&mut line)).await.is_err() {
                    return;
                }
                reader.get_mut().set_limit(MAX_LINE);
            }
        });
        Ok(Self { _child: child, tasks, lines })
    }
}

/// Starts the thread that prints.
fn print_on(output: OwnedFd) -> io::Result<Kind> {
    let (tasks, mut batches) = mpsc::channel::<Vec<Task>>(1);
    let (sender, printed) = mpsc::channel(1);
    let mut output = std::fs::File::from(output);
    std::thread::Builder::new().name("printer".to_owned()).spawn(move || {
        // What was written last may be the torn line of a predecessor that was killed.
        let mut is_torn = true;
        while let Some(batch) = batches.blocking_recv() {
            let ids = batch.iter().map(|task| task.id).collect();
            let begin = if is_torn { "\n" } else { "" }.to_owned();
            let text = batch.into_iter().fold(begin, |text, task| text + &task.json + "\n");
            let result = output.write_all(text.as_bytes()).map(|()| ids);
            is_torn = result.is_err();
            if sender.blocking_send(result).is_err() {
                return;
            }
        }
    })?;
    Ok(Kind::Stdout { tasks, printed })
}

/// Records given at once: enough to make a commit for all of them worth its sync.
pub(crate) const MAX_BATCH: usize = 64;
/// Longest answer of a program.
const MAX_LINE: u64 = 64 * 1024;
/// Before a program that ended is started again, or a record that failed is tried again.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn tasks(ids: impl IntoIterator<Item = u64>) -> Vec<Task> {
        ids.into_iter().map(|id| Task { id, json: format!("{{\"id\":{id}}}") }).collect()
    }

    /// A handler that is a shell script, which reads each record into `$line`.
    fn script(each: &str) -> Handler {
        let script = format!("while read -r line; do {each}; done");
        let words = ["sh", "-c", &script].map(str::to_owned).into();
        Handler::new(&HandlerOptions::Exec(words), None).unwrap()
    }

    async fn said(handler: &mut Handler, count: usize) -> Vec<Said> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(handler.event(true).await);
        }
        all
    }

    #[tokio::test]
    async fn a_program_answers_each_record_by_its_id() {
        let mut handler = script(r#"echo "$line""#);
        assert!(handler.is_ready());
        handler.give(tasks([7, 9]));
        let done = |id| Said::Done { id, reply: Reply::Ok };
        assert_eq!(said(&mut handler, 2).await, [done(7), done(9)]);
        handler.give(tasks([10]));
        assert_eq!(said(&mut handler, 1).await, [done(10)]);
    }

    #[tokio::test]
    async fn a_refusal_and_a_failure_are_told_apart() {
        let mut handler =
            script(r#"echo '{"id":1,"error":"12"}'; echo '{"id":2,"failed":"later"}'"#);
        handler.give(tasks([1]));
        let refused = Said::Done { id: 1, reply: Reply::Error(*b"12") };
        let failed = Said::Failed { id: 2, why: "later".to_owned() };
        assert_eq!(said(&mut handler, 2).await, [refused, failed]);
    }

    #[tokio::test]
    async fn a_program_that_ends_or_talks_nonsense_is_started_again_after_a_rest() {
        for each in ["exit 3", "echo nonsense"] {
            let mut handler = script(each);
            handler.give(tasks([1]));
            let all = said(&mut handler, 1).await;
            assert!(
                matches!(&all[..], [Said::Ended { why }] if why.starts_with("sh: ")),
                "{all:?}"
            );
            handler.rest();
            assert!(!handler.is_ready());
            assert_eq!(handler.event(false).await, []);
            assert!(handler.is_ready());
            handler.give(tasks([1]));
            assert!(matches!(said(&mut handler, 1).await[..], [Said::Ended { .. }]));
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_started_is_said_to_have_ended() {
        let options = HandlerOptions::Exec(vec!["/nonexistent/handler".to_owned()]);
        let mut handler = Handler::new(&options, None).unwrap();
        handler.give(tasks([1]));
        assert!(matches!(said(&mut handler, 1).await[..], [Said::Ended { .. }]));
    }

    #[tokio::test]
    async fn records_are_printed_as_lines_and_done_with_when_they_are() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut handler = Handler::new(&HandlerOptions::Stdout, Some(writer.into())).unwrap();
        handler.give(tasks([1, 2]));
        let done = |id| Said::Done { id, reply: Reply::Ok };
        assert_eq!(said(&mut handler, 2).await, [done(1), done(2)]);
        handler.give(tasks([3]));
        assert_eq!(said(&mut handler, 1).await, [done(3)]);
        let mut text = [0; 28];
        reader.read_exact(&mut text).unwrap();
        let expected = "\n{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n";
        assert_eq!(std::str::from_utf8(&text), Ok(expected), "an empty line ends a torn one");
    }

    #[test]
    fn without_a_handler_nothing_is_given() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let handler = Handler::new(&HandlerOptions::Store, None).unwrap();
        assert!(!handler.takes_rows() && !handler.is_ready());
    }
}
