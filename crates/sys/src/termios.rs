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
        | InputModes::PARMRK
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
/// queued output is neither waited for nor thrown away. With `marks`, line errors and breaks come
/// marked in the input; see [`crate::parmrk`].
pub(crate) fn apply(fd: BorrowedFd<'_>, settings: &LineSettings, marks: bool) -> io::Result<()> {
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
    if marks {
        // Drivers report a missing stop bit, too, only with INPCK.
        termios.input_modes |= InputModes::PARMRK | InputModes::INPCK;
        termios.input_modes -= InputModes::BRKINT;
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

/// Sets whether the last close drops DTR and RTS.
pub(crate) fn set_hupcl(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    if termios.control_modes.contains(ControlModes::HUPCL) == on {
        return Ok(());
    }
    termios.control_modes.set(ControlModes::HUPCL, on);
    tcsetattr(fd, OptionalActions::Now, &termios)?;
    Ok(())
}

/// What the tty does. A speed that `wanted` will do for is given as wanted.
///
/// tcsetattr succeeds when it could do *any* of what was asked, so only reading back tells.
pub(crate) fn in_force(fd: BorrowedFd<'_>, wanted: &LineSettings) -> io::Result<LineSettings> {
    let termios = tcgetattr(fd)?;
    let control = termios.control_modes;
    let speed = termios.output_speed();
    // A UART divides its clock: speeds within 2 % understand each other.
    let near = speed.abs_diff(wanted.baud) <= wanted.baud / 50;
    let data_bits = data_bits(control);
    Ok(LineSettings {
        baud: if near { wanted.baud } else { speed },
        data_bits,
        parity: parity(control),
        stop_bits: match (control.contains(ControlModes::CSTOPB), data_bits) {
            (false, _) => StopBits::One,
            (true, 5) => StopBits::OnePointFive,
            (true, _) => StopBits::Two,
        },
        flow: if control.contains(ControlModes::CRTSCTS) {
            Flow::RtsCts
        } else if termios.input_modes.contains(InputModes::IXON | InputModes::IXOFF) {
            Flow::XonXoff
        } else {
            Flow::None
        },
    })
}

impl Difference {
    /// Where what is in force is not what was wanted.
    pub(crate) fn between(wanted: &LineSettings, got: &LineSettings) -> Vec<Self> {
        let mut found = Vec::new();
        let mut note = |what: &'static str, wanted: &dyn fmt::Display, got: &dyn fmt::Display| {
            let (wanted, got) = (wanted.to_string(), got.to_string());
            if wanted != got {
                found.push(Self { what, wanted, got });
            }
        };
        note("speed", &wanted.baud, &got.baud);
        note("data bits", &wanted.data_bits, &got.data_bits);
        note("parity", &wanted.parity, &got.parity);
        // One and a half and two are one flag. Which it is follows from the data bits.
        if (wanted.stop_bits == StopBits::One) != (got.stop_bits == StopBits::One) {
            note("stop bits", &wanted.stop_bits, &got.stop_bits);
        }
        note("flow control", &wanted.flow, &got.flow);
        found
    }
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
