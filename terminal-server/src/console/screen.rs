//! Standard output and standard error, written on a thread of their own: a reader that is slow, or a
//! terminal that was stopped, holds back the line's bytes and nothing else.

use std::io::{self, Write};

use tokio::sync::{mpsc, watch};

use super::core::Show;

/// What is shown, in order.
#[derive(Debug)]
pub(super) struct Screen {
    queue: mpsc::Sender<Show>,
    shown: watch::Receiver<u64>,
}

impl Screen {
    /// Starts the thread. `raw`: whether it writes on a raw terminal, where a line feed does not
    /// go back to the first column.
    pub(super) fn start(name: String, raw: bool) -> Self {
        let (queue, mut shows) = mpsc::channel(SHOWS);
        let (told, shown) = watch::channel(0);
        std::thread::spawn(move || {
            while let Some(show) = shows.blocking_recv() {
                let written = match &show {
                    Show::Line(bytes, _) | Show::Local(bytes) => put(&mut io::stdout(), bytes),
                    Show::Notice(text) => {
                        let end = if raw { "\r\n" } else { "\n" };
                        let text = format!("{name}: {text}{end}");
                        // Words that nobody can read stop nothing.
                        put(&mut io::stderr(), text.as_bytes()).or(Ok(()))
                    }
                };
                match (written, show) {
                    (Ok(()), Show::Line(_, offset)) => told.send_replace(offset),
                    (Ok(()), _) => continue,
                    // The reader has gone. It shows by the end of both channels.
                    (Err::<(), io::Error>(_), _) => return,
                };
            }
        });
        Self { queue, shown }
    }

    /// Takes it unless there is no room or no reader, then gives it back.
    ///
    /// # Errors
    /// The thing itself.
    pub(super) fn try_show(&self, show: Show) -> Result<(), Show> {
        self.queue.try_send(show).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Where room is waited for, and where it is told how far the line was shown. Both end when the
    /// reader has gone.
    pub(super) fn parts(&mut self) -> (&mpsc::Sender<Show>, &mut watch::Receiver<u64>) {
        (&self.queue, &mut self.shown)
    }

    /// Waits until these and all before them were shown, or the reader has gone.
    pub(super) async fn end(self, last: impl IntoIterator<Item = Show>) {
        let Self { queue, mut shown } = self;
        for show in last {
            if queue.send(show).await.is_err() {
                return;
            }
        }
        drop(queue);
        while shown.changed().await.is_ok() {}
    }
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

/// Frames' worth of bytes on their way to the screen.
const SHOWS: usize = 16;
