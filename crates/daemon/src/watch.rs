//! `status --watch`: what a daemon says, again and again.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::keyboard::Keyboard;
use crate::terminal::{Mode, Terminal};
use crate::{Exit, Failure, OrExit, Signals, status};

/// Whose status is shown, and how.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'w> {
    /// The daemon's status socket.
    pub socket: &'w Path,
    /// What the daemon is called in messages.
    pub program: &'w str,
    /// What an answer is for people.
    pub render: fn(Value) -> serde_json::Result<String>,
}

/// Shows how a daemon stands every `interval`, until a signal, or the key q. On a terminal it is
/// painted in place, elsewhere printed one after the other.
///
/// # Errors
/// Output failed. That the daemon does not answer is shown, and it is asked again.
pub fn run(watched: Watched<'_>, interval: Duration, as_json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.or_exit(Exit::OsError)?;
    let ended = runtime.block_on(async {
        match io::stdout().is_terminal() && !as_json {
            true => paint(watched, interval).await,
            false => repeat(watched, interval, as_json).await,
        }
    });
    match ended {
        // A reader that has gone has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended.or_exit(Exit::Io),
    }
}

async fn paint(watched: Watched<'_>, interval: Duration) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    // If the keys come from elsewhere only a signal ends it, or the end of that.
    let terminal = Terminal::open(Mode::Keys)?;
    let mut keyboard = terminal.is_some().then(|| Keyboard::start(KEYS));
    let _screen = Screen::enter()?;
    loop {
        let text = match watched.ask().await {
            Ok(answer) => watched.shown(answer),
            Err(reason) => reason,
        };
        let rows = terminal.as_ref().and_then(Terminal::rows).unwrap_or(USUAL_ROWS);
        let footer = format!("every {interval:?}, q ends it");
        put(frame(&text, &footer, usize::from(rows)).as_bytes())?;
        let pause = tokio::time::sleep(interval);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                _ = signals.recv() => return Ok(()),
                keys = next(&mut keyboard) => match keys {
                    Some(keys) if keys.contains(&b'q') => return Ok(()),
                    Some(_) => {}
                    None => keyboard = None,
                },
                () = &mut pause => break,
            }
        }
    }
}

async fn repeat(watched: Watched<'_>, interval: Duration, as_json: bool) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    loop {
        let text = match watched.ask().await {
            Ok(answer) if as_json => format!("{answer}\n"),
            Ok(answer) => watched.shown(answer) + "\n",
            Err(reason) if as_json => format!("{}\n", json!({ "error": reason.trim_end() })),
            Err(reason) => reason,
        };
        put(text.as_bytes())?;
        tokio::select! {
            biased;
            _ = signals.recv() => return Ok(()),
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// A number of seconds, as `1` or `0.5`.
///
/// # Errors
/// What to give instead, for clap to print.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (SHORTEST..=LONGEST).contains(s));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("give seconds from {SHORTEST} to {LONGEST}, as 1 or 0.5"))
}

impl Watched<'_> {
    async fn ask(&self) -> Result<Value, String> {
        let request = json!({ "command": "status" });
        let asked = status::request_async(self.socket, self.program, &request).await;
        asked.map_err(|error| format!("{error}\n"))
    }

    fn shown(&self, answer: Value) -> String {
        let shown = (self.render)(answer);
        shown.unwrap_or_else(|error| format!("the answer makes no sense: {error}\n"))
    }
}

/// What to send so that a screen of `rows` shows `text` from the top and `footer` as the last row.
/// What was longer before is wiped line by line: a screen cleared first would flicker.
fn frame(text: &str, footer: &str, rows: usize) -> String {
    let room = rows.saturating_sub(1).max(1);
    let lines: Vec<_> = text.lines().collect();
    let fits = lines.len() <= room;
    let shown = if fits { lines.len() } else { room - 1 };
    let mut frame = "\x1b[H".to_owned();
    for line in &lines[..shown] {
        frame += line;
        frame += "\x1b[K\r\n";
    }
    if !fits {
        frame += &format!("... and {} more lines\x1b[K\r\n", lines.len() - shown);
    }
    frame + "\x1b[J" + footer + "\x1b[K"
}

/// The terminal's second screen, without cursor or line wrap; the first one is back as it was on
/// drop.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        put(b"\x1b[?1049h\x1b[?25l\x1b[?7l")?;
        Ok(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If this cannot be written nobody sees the screen.
        let _ = put(b"\x1b[?7h\x1b[?25h\x1b[?1049l");
    }
}

fn put(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

async fn next(keyboard: &mut Option<Keyboard>) -> Option<Vec<u8>> {
    match keyboard {
        Some(keyboard) => keyboard.recv().await,
        None => std::future::pending().await,
    }
}

/// Keys taken at once; they only end it.
const KEYS: usize = 16;
/// Where the terminal does not say how large it is.
const USUAL_ROWS: u16 = 24;
/// Seconds; more often would only show the asking.
const SHORTEST: f64 = 0.1;
/// Seconds; an hour.
const LONGEST: f64 = 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_its_screen() {
        assert_eq!(frame("a\nb\n", "f", 4), "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[Jf\x1b[K");
        let text = "a\nb\nc\nd\ne\n";
        let expected = "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n... and 3 more lines\x1b[K\r\n\x1b[Jf\x1b[K";
        assert_eq!(frame(text, "f", 4), expected);
        for rows in 0..8 {
            let frame = frame(text, "f", rows);
            let ends = frame.matches("\r\n").count();
            assert!(ends < rows.max(2), "{rows} rows: {frame:?}");
        }
    }

    #[test]
    fn intervals_are_seconds() {
        assert_eq!(parse_interval("1"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_interval("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "nan", "inf", "1s", "1e9"] {
            assert!(parse_interval(text).is_err(), "{text:?}");
        }
    }
}
