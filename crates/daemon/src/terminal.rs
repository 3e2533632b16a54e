//! The user's own terminal: raw while it is needed, and put back on every way out.

use std::io;

use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr,
    tcgetwinsize, tcsetattr,
};

/// What keys are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each key comes at once and unseen; Ctrl-C still is a signal.
    Keys,
    /// Every key comes as it is, Ctrl-C too.
    Raw,
}

/// Standard input, if it is a terminal, with its settings changed until this is dropped.
#[derive(Debug)]
pub struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Changes the terminal; `None` if standard input is none.
    ///
    /// # Errors
    /// The system refused; the terminal is as it was.
    pub fn open(mode: Mode) -> io::Result<Option<Self>> {
        let before = match tcgetattr(stdin()) {
            Ok(before) => before,
            Err(Errno::NOTTY | Errno::INVAL | Errno::BADF) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut wanted = before.clone();
        match mode {
            Mode::Keys => {
                wanted.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            }
            Mode::Raw => {
                wanted.local_modes -= LocalModes::ICANON
                    | LocalModes::ECHO
                    | LocalModes::ECHONL
                    | LocalModes::ISIG
                    | LocalModes::IEXTEN;
                wanted.input_modes -= InputModes::IXON
                    | InputModes::ICRNL
                    | InputModes::INLCR
                    | InputModes::IGNCR
                    | InputModes::ISTRIP
                    | InputModes::BRKINT
                    | InputModes::PARMRK
                    | InputModes::IGNBRK;
                // What the line sends moves the cursor as the line means it.
                wanted.output_modes -= OutputModes::OPOST;
            }
        }
        wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
        wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Now, &wanted)?;
        Ok(Some(Self { before }))
    }

    /// How many rows it shows, if it knows.
    pub fn rows(&self) -> Option<u16> {
        tcgetwinsize(stdin()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that has gone need not be put back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
