//! What programs say on their standard error, cut into log lines. A program that says too much
//! must not fill the node's log, and one that says it too fast must not be held up for ever.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sys::{BootTimer, boottime};
use tokio::net::unix::pipe::Receiver;
use wire::Time;

/// Cuts bytes into lines of bounded length and rate. Sans-IO.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// Lines kept since then.
    since: Time,
    kept: u32,
    /// Lines not kept and not told yet.
    dropped: u64,
}

/// What there is to log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// A line, without its end; `cut`: its rest follows as lines of its own.
    Line(&'a str),
    /// So many lines came too fast and are lost.
    Dropped(u64),
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { partial: Vec::new(), since: Time::ZERO, kept: 0, dropped: 0 }
    }

    /// Bytes in any chunks.
    pub(crate) fn handle_read(&mut self, bytes: &[u8], now: Time, say: &mut impl FnMut(Said<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            for part in text.chunks(MAX_LINE) {
                let room = MAX_LINE - self.partial.len();
                let (first, rest) = part.split_at(part.len().min(room));
                self.partial.extend_from_slice(first);
                if !rest.is_empty() {
                    self.end_line(now, say);
                    self.partial.extend_from_slice(rest);
                }
            }
            if whole {
                self.end_line(now, say);
            }
        }
    }

    /// Nothing more comes: what is there is the last line.
    pub(crate) fn finish(&mut self, now: Time, say: &mut impl FnMut(Said<'_>)) {
        self.end_line(now, say);
        self.tell_dropped(say);
    }

    fn end_line(&mut self, now: Time, say: &mut impl FnMut(Said<'_>)) {
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            return;
        }
        if now.since(self.since) >= SECOND {
            (self.since, self.kept) = (now, 0);
            self.tell_dropped(say);
        }
        if self.kept >= MAX_RATE {
            self.dropped += 1;
            return;
        }
        self.kept += 1;
        say(Said::Line(&String::from_utf8_lossy(line)));
    }

    fn tell_dropped(&mut self, say: &mut impl FnMut(Said<'_>)) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            say(Said::Dropped(dropped));
        }
    }
}

/// A pipe whose lines go into the log.
#[derive(Debug)]
pub(crate) struct LinePipe {
    pipe: Option<Receiver>,
    lines: Lines,
    timer: BootTimer,
    /// It is not read again before then.
    rest: Option<Time>,
}

impl LinePipe {
    /// Our end of the pipe, and the program's.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = io::pipe()?;
        let pipe = Some(Receiver::from_owned_fd(OwnedFd::from(ours))?);
        let (lines, timer) = (Lines::new(), BootTimer::new()?);
        Ok((Self { pipe, lines, timer, rest: None }, OwnedFd::from(theirs)))
    }

    /// Reads and says what comes, to the end of the pipe. Cancel-safe.
    pub(crate) async fn tell(&mut self, say: &mut impl FnMut(Said<'_>)) {
        while let Some(pipe) = &self.pipe {
            self.timer
                .until(self.rest.map_or(Some(Duration::ZERO), |at| Some(at.since_boot())))
                .await;
            self.rest = None;
            let _ = pipe.readable().await;
            self.read(say);
            self.rest = Some(now() + REST);
        }
    }

    /// Says what is there already; the program has ended, or is about to.
    pub(crate) fn finish(&mut self, say: &mut impl FnMut(Said<'_>)) {
        for _ in 0..MAX_FINISH {
            if !self.read(say) {
                break;
            }
        }
        self.pipe = None;
        self.lines.finish(now(), say);
    }

    /// Whether there may be more.
    fn read(&mut self, say: &mut impl FnMut(Said<'_>)) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut chunk = [0; CHUNK];
        match pipe.try_read(&mut chunk) {
            Ok(count) if count > 0 => {
                self.lines.handle_read(&chunk[..count], now(), say);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            _ => {
                self.pipe = None;
                self.lines.finish(now(), say);
                false
            }
        }
    }
}

fn now() -> Time {
    Time::from_boot(boottime())
}

/// Longer lines go on as the next one.
const MAX_LINE: usize = 4096;
/// Lines kept in a second: a stack trace comes through whole, a flood does not.
const MAX_RATE: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);
/// Read at once.
const CHUNK: usize = 16 * 1024;
/// Between two reads, so that no flood takes the loop's time: some 3 MB a second.
const REST: Duration = Duration::from_millis(5);
/// What a pipe may hold by default, in chunks.
const MAX_FINISH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    fn said(lines: &mut Lines, bytes: &[u8], now: Time) -> Vec<String> {
        let mut all = Vec::new();
        lines.handle_read(bytes, now, &mut |said| {
            all.push(match said {
                Said::Line(text) => text.to_owned(),
                Said::Dropped(count) => format!("-{count}"),
            });
        });
        all
    }

    #[test]
    fn lines_come_whole_whatever_the_chunks() {
        let mut lines = Lines::new();
        assert_eq!(said(&mut lines, b"one\r\n\ntw", at(0)), ["one"]);
        assert_eq!(said(&mut lines, b"o\nthr\xffe", at(1)), ["two"]);
        let mut last = Vec::new();
        lines.finish(at(2), &mut |said| last.push(format!("{said:?}")));
        assert_eq!(last, ["Line(\"thr\u{fffd}e\")"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::new();
        let got = said(&mut lines, &[b'x'; MAX_LINE * 2 + 3], at(0));
        assert_eq!(got.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE]);
        assert_eq!(said(&mut lines, b"y\n", at(0)), ["xxxy"]);
        assert_eq!(lines.partial.capacity(), 0);
    }

    #[test]
    fn of_a_flood_a_hundred_lines_a_second_are_kept_and_the_others_counted() {
        let mut lines = Lines::new();
        assert_eq!(said(&mut lines, &b"a\n".repeat(1000), at(5000)).len(), 100);
        assert_eq!(said(&mut lines, b"b\n", at(5999)), [""; 0]);
        assert_eq!(said(&mut lines, b"c\n", at(6000)), ["-901", "c"]);
    }

    #[tokio::test]
    async fn a_pipe_is_read_to_its_end() {
        use std::io::Write;
        let (mut pipe, theirs) = LinePipe::new().unwrap();
        let mut writer = std::fs::File::from(theirs);
        writer.write_all(b"first\nsecond").unwrap();
        drop(writer);
        let mut all = Vec::new();
        pipe.tell(&mut |said| all.push(format!("{said:?}"))).await;
        assert_eq!(all, ["Line(\"first\")", "Line(\"second\")"]);
    }
}
