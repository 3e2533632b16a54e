//! Standard input, read on a thread of its own: it may be a terminal, a pipe or a file, and it must
//! stay as blocking as the shell that shares it expects.

use std::io::Read;

use tokio::sync::mpsc;

/// What comes from standard input, piece by piece.
#[derive(Debug)]
pub struct Keyboard {
    pieces: mpsc::Receiver<Vec<u8>>,
}

impl Keyboard {
    /// Begins to read, at most `piece` bytes at a time. There is one standard input, so start it once. The thread ends with the
    /// process, or at the end of the input.
    pub fn start(piece: usize) -> Self {
        let (send, pieces) = mpsc::channel(PIECES);
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut piece = vec![0; piece];
            loop {
                match stdin.read(&mut piece) {
                    Ok(0) => return,
                    // Waits while nobody takes it: so a pipe is held back, and no memory grows.
                    Ok(count) if send.blocking_send(piece[..count].to_vec()).is_ok() => {}
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    // The terminal has gone, or nobody listens any more.
                    Ok(_) | Err(_) => return,
                }
            }
        });
        Self { pieces }
    }

    /// The next piece; `None` at the end of the input. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Vec<u8>> {
        self.pieces.recv().await
    }
}

/// Pieces read ahead of who takes them.
const PIECES: usize = 4;
