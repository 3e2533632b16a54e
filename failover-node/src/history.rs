//! `failover-node events`: the journal of role changes, for people and for programs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::program::print;
use daemon::{Exit, Failure, OrExit, Signals};
use serde_json::json;

use crate::cli::EventsArgs;
use crate::driver::{NodeReport, RoleChange};
use crate::program::PROGRAM;

/// Shows the last changes, and then each that comes, if that is wanted.
///
/// # Errors
/// There is no journal, or it cannot be read.
pub fn show(args: &EventsArgs) -> Result<(), Failure> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => of_node(args)?,
    };
    let failed = |error: io::Error| {
        let exit =
            if error.kind() == ErrorKind::NotFound { Exit::NoInput } else { (&error).into() };
        Failure::new(exit, format!("{}: {error}", path.display()))
    };
    let mut tail = Tail::new(path.clone());
    let mut last: VecDeque<String> = VecDeque::new();
    tail.read(&mut |line| {
        if last.len() == args.count {
            last.pop_front();
        }
        if args.count > 0 {
            last.push_back(line.to_owned());
        }
    })
    .map_err(failed)?;
    let shown: String = last.iter().filter_map(|line| render(line, args.socket.json)).collect();
    print(&shown)?;
    if args.follow { follow(tail, args.socket.json) } else { Ok(()) }
}

/// Where the running node writes.
fn of_node(args: &EventsArgs) -> Result<PathBuf, Failure> {
    let answer =
        daemon::status::request(&args.socket.path(), PROGRAM, &json!({"command": "status"}));
    let answer = answer.map_err(|error| {
        let message = format!("{error}; to read the journal of a node that is down, use --file");
        Failure::new((&error).into(), message)
    })?;
    let report: NodeReport = serde_json::from_value(answer).or_exit(Exit::Protocol)?;
    let help = "this node keeps no journal: give it --events FILE, or `events` in [node]";
    report.events.map(PathBuf::from).ok_or_else(|| Failure::new(Exit::NoInput, help))
}

fn follow(mut tail: Tail, as_json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended: io::Result<()> = runtime.or_exit(Exit::OsError)?.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            tokio::select! {
                biased;
                _ = signals.recv() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            let mut shown = String::new();
            match tail.read(&mut |line| shown.extend(render(line, as_json))) {
                // Somebody has renamed it, and nothing has happened since.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                read => read?,
            }
            let mut out = io::stdout().lock();
            out.write_all(shown.as_bytes())?;
            out.flush()?;
        }
    });
    match ended {
        // A reader that has gone has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        ended => ended.or_exit(Exit::Io),
    }
}

/// One line of the journal, line ended. `None`: a crash has torn it.
fn render(line: &str, as_json: bool) -> Option<String> {
    let change: RoleChange = serde_json::from_str(line).ok()?;
    if as_json {
        return Some(format!("{line}\n"));
    }
    Some(sentence(&change) + "\n")
}

/// A change for people.
pub(crate) fn sentence(change: &RoleChange) -> String {
    let RoleChange { time, from, to, epoch, cause, peer, lasted_ms, unserved_ms, lost, .. } =
        change;
    let mut text = format!("{time}  {} -> {to}, {cause}", from.as_deref().unwrap_or("(start)"));
    if let Some(epoch) = epoch {
        text += &format!(", epoch {epoch}");
    }
    if let Some(peer) = peer {
        let word = if *to == "standby" { "next or holder" } else { "after" };
        text += &format!(", {word} {peer}");
    }
    if let Some(from) = from {
        text += &format!("; {from} for {}", span(*lasted_ms));
    }
    if let Some(unserved) = unserved_ms {
        text += &format!(", line free for {}", span(*unserved));
    }
    if *lost > 0 {
        text += &format!(" ({lost} changes before this one were lost)");
    }
    text
}

/// As people say it: `4 ms`, `3.2 s`, `5 min`, `2 h 10 min`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A file that grows, and may be replaced by another under its name.
struct Tail {
    path: PathBuf,
    file: Option<(File, u64)>,
    rest: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, rest: Vec::new() }
    }

    /// Every whole line that was added since the last call.
    fn read(&mut self, take: &mut dyn FnMut(&str)) -> io::Result<()> {
        if let Some((file, inode)) = &mut self.file {
            lines(file, &mut self.rest, take)?;
            if *inode == inode_of(&self.path)? {
                return Ok(());
            }
            self.rest.clear();
        }
        let mut file = File::open(&self.path)?;
        let inode = file.metadata()?.ino();
        lines(&mut file, &mut self.rest, take)?;
        self.file = Some((file, inode));
        Ok(())
    }
}

fn inode_of(path: &Path) -> io::Result<u64> {
    path.metadata().map(|meta| meta.ino())
}

fn lines(file: &mut File, rest: &mut Vec<u8>, take: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    loop {
        let n = match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for byte in &chunk[..n] {
            match byte {
                b'\n' => {
                    take(&String::from_utf8_lossy(rest));
                    rest.clear();
                }
                // What is no journal must not fill the memory.
                byte if rest.len() < LONGEST => rest.push(*byte),
                _ => {}
            }
        }
    }
}

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(200);
/// Far more than a record has.
const LONGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_people_say_them() {
        let said = [0, 999, 3210, 59_999, 60_000, 7_800_000].map(span);
        assert_eq!(said, ["0 ms", "999 ms", "3.2 s", "59.9 s", "1 min", "2 h 10 min"]);
    }

    #[test]
    fn a_tail_follows_the_name_and_sees_each_line_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut tail = Tail::new(path.clone());
        let mut seen = Vec::new();
        let mut read = |tail: &mut Tail| tail.read(&mut |line| seen.push(line.to_owned()));
        assert!(read(&mut tail).is_err());
        std::fs::write(&path, "one\ntw").unwrap();
        read(&mut tail).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"o\nthree\n").unwrap();
        read(&mut tail).unwrap();
        file.write_all(b"four\n").unwrap();
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        std::fs::write(&path, "five\n").unwrap();
        read(&mut tail).unwrap();
        read(&mut tail).unwrap();
        assert_eq!(seen, ["one", "two", "three", "four", "five"]);
    }

    #[test]
    fn a_record_is_a_sentence_and_a_torn_one_is_left_out() {
        let line = r#"{"time":"2026-11-23T08:26:02.123456Z","boot_ms":1,"boot":"07","node":"a","line":"pms","from":"candidate","to":"coordinator","epoch":"7.2","cause":"granted","peer":"b","lasted_ms":4,"unserved_ms":12,"lost":2}"#;
        let expected = "2026-11-23T08:26:02.123456Z  candidate -> coordinator, granted, epoch 7.2, \
                        after b; candidate for 4 ms, line free for 12 ms (2 changes before this one \
                        were lost)\n";
        assert_eq!(render(line, false).unwrap(), expected);
        assert_eq!(render(line, true).unwrap(), format!("{line}\n"));
        assert_eq!(render(&line[..50], false), None);
    }
}
