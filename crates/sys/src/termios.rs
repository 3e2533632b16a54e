//! The termios work of [`crate::tty`] and [`crate::pty`]: raw mode, settings, reading back.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr,
    tcsetattr,
};

use wire::{Flow, LineSettings, Parity, StopBits};

/// A setting that the device did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The setting in words: `parity`, `data bits`, ...
    pub what: &'static str,
    /// What was asked for.
    pub wanted: String,
    /// What the device does.
    pub got: String,
}

/// Makes `termios` raw: no byte is changed, kept back, echoed or acted upon.
pub(crate) fn make_raw(termios: &mut Termios) {
    termios.make_raw();
    // cfmakeraw leaves these as it finds them. IGNPAR in particular (which serialport sets for
    // lines without parity) would drop characters with a framing error and nobody would know.
    termios.input_modes -= InputModes::IGNPAR
        | InputModes::INPCK
        | InputModes::IXOFF
        | InputModes::IXANY
        | InputModes::IGNBRK;
    termios.local_modes -= LocalModes::TOSTOP;
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    // With VMIN 0 a read with nothing there gives 0 bytes, which looks like an end of file.
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
}

/// What serialport can express of `settings`; [`apply`] does the rest.
pub(crate) fn builder(path: &Path, settings: &LineSettings) -> tokio_serial::SerialPortBuilder {
    use tokio_serial::{DataBits, FlowControl};
    // Without exclusive(false) serialport would take TIOCEXCL before the lock, and a loser of that
    // race would have changed the winner's device.
    tokio_serial::new(path.to_string_lossy(), settings.baud)
        .exclusive(false)
        .data_bits(match settings.data_bits {
            5 => DataBits::Five,
            6 => DataBits::Six,
            7 => DataBits::Seven,
            _ => DataBits::Eight,
        })
        .parity(match settings.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Odd | Parity::Mark => tokio_serial::Parity::Odd,
            Parity::Even | Parity::Space => tokio_serial::Parity::Even,
        })
        .stop_bits(match settings.stop_bits {
            StopBits::One => tokio_serial::StopBits::One,
            StopBits::OnePointFive | StopBits::Two => tokio_serial::StopBits::Two,
        })
        .flow_control(match settings.flow {
            Flow::None => FlowControl::None,
            Flow::RtsCts => FlowControl::Hardware,
            Flow::XonXoff => FlowControl::Software,
        })
}

/// Puts the tty into raw mode with `settings`, at once (TCSANOW): queued input stays readable,
/// queued output is neither waited for nor thrown away.
pub(crate) fn apply(fd: BorrowedFd<'_>, settings: &LineSettings) -> io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    make_raw(&mut termios);
    let control = &mut termios.control_modes;
    *control -= ControlModes::CSIZE
        | ControlModes::PARENB
        | ControlModes::PARODD
        | ControlModes::CMSPAR
        | ControlModes::CSTOPB
        | ControlModes::CRTSCTS;
    *control |= size_flag(settings.data_bits) | parity_flags(settings.parity);
    if settings.stop_bits != StopBits::One {
        // With five data bits the UART makes one and a half of it.
        *control |= ControlModes::CSTOPB;
    }
    if settings.parity != Parity::None {
        // A character with a wrong parity bit is then read as NUL, not as a good character.
        termios.input_modes |= InputModes::INPCK;
    }
    match settings.flow {
        Flow::None => {}
        Flow::RtsCts => termios.control_modes |= ControlModes::CRTSCTS,
        Flow::XonXoff => termios.input_modes |= InputModes::IXON | InputModes::IXOFF,
    }
    termios.set_speed(settings.baud)?;
    tcsetattr(fd, OptionalActions::Now, &termios)?;
    Ok(())
}

/// What the tty does that is not what `settings` say.
///
/// tcsetattr succeeds when it could do *any* of what was asked, so only reading back tells.
pub(crate) fn differences(
    fd: BorrowedFd<'_>,
    settings: &LineSettings,
) -> io::Result<Vec<Difference>> {
    let termios = tcgetattr(fd)?;
    let control = termios.control_modes;
    let mut found = Vec::new();
    let mut note = |what: &'static str, wanted: String, got: String| {
        if wanted != got {
            found.push(Difference { what, wanted, got });
        }
    };
    // A UART divides its clock: speeds within 2 % understand each other.
    let speed = termios.output_speed();
    if speed.abs_diff(settings.baud) > settings.baud / 50 {
        note("speed", settings.baud.to_string(), speed.to_string());
    }
    note("data bits", settings.data_bits.to_string(), data_bits(control).to_string());
    note("parity", settings.parity.to_string(), parity(control).to_string());
    let stop = match (control.contains(ControlModes::CSTOPB), settings.data_bits) {
        (false, _) => StopBits::One,
        (true, 5) => StopBits::OnePointFive,
        (true, _) => StopBits::Two,
    };
    note("stop bits", settings.stop_bits.to_string(), stop.to_string());
    let flow = if control.contains(ControlModes::CRTSCTS) {
        Flow::RtsCts
    } else if termios.input_modes.contains(InputModes::IXON | InputModes::IXOFF) {
        Flow::XonXoff
    } else {
        Flow::None
    };
    note("flow control", settings.flow.to_string(), flow.to_string());
    Ok(found)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, not {}", self.what, self.got, self.wanted)
    }
}

fn size_flag(data_bits: u8) -> ControlModes {
    match data_bits {
        5 => ControlModes::CS5,
        6 => ControlModes::CS6,
        7 => ControlModes::CS7,
        _ => ControlModes::CS8,
    }
}

fn data_bits(control: ControlModes) -> u8 {
    let size = control & ControlModes::CSIZE;
    (5..8).find(|bits| size_flag(*bits) == size).unwrap_or(8)
}

fn parity_flags(parity: Parity) -> ControlModes {
    match parity {
        Parity::None => ControlModes::empty(),
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        Parity::Even => ControlModes::PARENB,
        Parity::Mark => ControlModes::PARENB | ControlModes::CMSPAR | ControlModes::PARODD,
        Parity::Space => ControlModes::PARENB | ControlModes::CMSPAR,
    }
}

fn parity(control: ControlModes) -> Parity {
    let odd = control.contains(ControlModes::PARODD);
    match (control.contains(ControlModes::PARENB), control.contains(ControlModes::CMSPAR)) {
        (false, _) => Parity::None,
        (true, false) if odd => Parity::Odd,
        (true, false) => Parity::Even,
        (true, true) if odd => Parity::Mark,
        (true, true) => Parity::Space,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_words_agree_both_ways() {
        for parity_word in [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space] {
            assert_eq!(parity(parity_flags(parity_word)), parity_word);
        }
        for bits in 5..=8 {
            assert_eq!(data_bits(size_flag(bits)), bits);
        }
    }
}
