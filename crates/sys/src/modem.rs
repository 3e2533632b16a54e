//! The serial ioctls that rustix lacks. All go through libc, so that a test can put its own below.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_char, c_int, c_uint, c_ulong, c_ushort};

/// How often something happened on a line, as its driver counts (TIOCGICOUNT). The counts wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineCounts {
    /// Changes of clear to send.
    pub cts: u32,
    /// Changes of data set ready.
    pub dsr: u32,
    /// Ends of ringing.
    pub rng: u32,
    /// Changes of carrier detect.
    pub dcd: u32,
    /// Characters received.
    pub rx: u32,
    /// Characters sent.
    pub tx: u32,
    /// Characters without a stop bit.
    pub frame: u32,
    /// Times the UART lost input because nobody fetched it.
    pub overrun: u32,
    /// Characters with a wrong parity bit.
    pub parity: u32,
    /// Breaks received.
    pub brk: u32,
    /// Times the kernel lost input because its buffer was full.
    pub buf_overrun: u32,
}

impl LineCounts {
    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cts: self.cts.wrapping_sub(earlier.cts),
            dsr: self.dsr.wrapping_sub(earlier.dsr),
            rng: self.rng.wrapping_sub(earlier.rng),
            dcd: self.dcd.wrapping_sub(earlier.dcd),
            rx: self.rx.wrapping_sub(earlier.rx),
            tx: self.tx.wrapping_sub(earlier.tx),
            frame: self.frame.wrapping_sub(earlier.frame),
            overrun: self.overrun.wrapping_sub(earlier.overrun),
            parity: self.parity.wrapping_sub(earlier.parity),
            brk: self.brk.wrapping_sub(earlier.brk),
            buf_overrun: self.buf_overrun.wrapping_sub(earlier.buf_overrun),
        }
    }

    /// These counts without those of good characters, which say nothing that reading does not.
    #[must_use]
    pub fn without_traffic(self) -> Self {
        Self { rx: 0, tx: 0, ..self }
    }
}

/// Levels of the modem lines, as TIOCM bits.
pub(crate) fn get(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    let mut bits = 0;
    // SAFETY: TIOCMGET writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMGET, &raw mut bits) })?;
    Ok(bits)
}

/// Raises, drops or sets outputs: TIOCMBIS, TIOCMBIC, TIOCMSET.
pub(crate) fn set(fd: BorrowedFd<'_>, how: Set, bits: c_int) -> io::Result<()> {
    let request = match how {
        Set::Raise => libc::TIOCMBIS,
        Set::Drop => libc::TIOCMBIC,
        Set::All => libc::TIOCMSET,
    };
    // SAFETY: all three read one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw const bits) })
}

/// What [`set`] does with its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Those given go up, the others stay.
    Raise,
    /// Those given go down, the others stay.
    Drop,
    /// Those given go up, the others down.
    All,
}

/// Begins or ends a break. Beginning waits until all output has left; see [`crate::Control`].
pub(crate) fn set_break(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let request = if on { libc::TIOCSBRK } else { libc::TIOCCBRK };
    // SAFETY: both take no argument.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request) })
}

/// Waits for a change of an input since the call.
pub(crate) fn wait(fd: c_int) -> io::Result<()> {
    let inputs = libc::TIOCM_CTS | libc::TIOCM_DSR | libc::TIOCM_RI | libc::TIOCM_CD;
    // SAFETY: TIOCMIWAIT takes its argument by value; a closed descriptor is an error.
    check(unsafe { libc::ioctl(fd, libc::TIOCMIWAIT, c_ulong::from(inputs.unsigned_abs())) })
}

pub(crate) fn counts(fd: BorrowedFd<'_>) -> io::Result<LineCounts> {
    let mut raw = Icounter::default();
    // SAFETY: TIOCGICOUNT writes a `serial_icounter_struct`, which `Icounter` is laid out as.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGICOUNT, &raw mut raw) })?;
    let count = |value: c_int| value.cast_unsigned();
    Ok(LineCounts {
        cts: count(raw.cts),
        dsr: count(raw.dsr),
        rng: count(raw.rng),
        dcd: count(raw.dcd),
        rx: count(raw.rx),
        tx: count(raw.tx),
        frame: count(raw.frame),
        overrun: count(raw.overrun),
        parity: count(raw.parity),
        brk: count(raw.brk),
        buf_overrun: count(raw.buf_overrun),
    })
}

/// Bytes of output that have not left yet (TIOCOUTQ).
pub(crate) fn outq(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: c_int = 0;
    // SAFETY: TIOCOUTQ writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Changes what the driver keeps about the port beside termios; nothing, if nothing differs.
pub(crate) fn change_serial(
    fd: BorrowedFd<'_>,
    change: impl FnOnce(&mut SerialStruct),
) -> io::Result<()> {
    let mut found = SerialStruct::default();
    // SAFETY: TIOCGSERIAL writes a `serial_struct`, which `SerialStruct` is laid out as.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGSERIAL, &raw mut found) })?;
    let mut wanted = found;
    change(&mut wanted);
    if wanted.flags == found.flags && wanted.closing_wait == found.closing_wait {
        return Ok(());
    }
    // SAFETY: TIOCSSERIAL reads one; its address field came from the kernel and went nowhere.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSSERIAL, &raw const wanted) })
}

/// Whether an error says that the device has no such wires, rather than that it failed.
pub(crate) fn unsupported(error: &io::Error) -> bool {
    let codes = [libc::ENOTTY, libc::EINVAL, libc::ENXIO, libc::EOPNOTSUPP, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `struct serial_icounter_struct` of `linux/serial.h`.
#[repr(C)]
#[derive(Default)]
struct Icounter {
    cts: c_int,
    dsr: c_int,
    rng: c_int,
    dcd: c_int,
    rx: c_int,
    tx: c_int,
    frame: c_int,
    overrun: c_int,
    parity: c_int,
    brk: c_int,
    buf_overrun: c_int,
    reserved: [c_int; 9],
}

/// `struct serial_struct` of `linux/serial.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct SerialStruct {
    kind: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    pub(crate) flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: c_char,
    reserved_char: c_char,
    hub6: c_int,
    /// In hundredths of a second.
    pub(crate) closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: usize,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

// The kernel writes as many bytes, whatever we think.
const _: () = assert!(size_of::<Icounter>() == 80);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<SerialStruct>() == 72);

/// `ASYNC_LOW_LATENCY` of `linux/tty_flags.h`.
pub(crate) const LOW_LATENCY: c_int = 1 << 13;
/// `ASYNC_CLOSING_WAIT_NONE` of `linux/serial.h`.
pub(crate) const CLOSING_WAIT_NONE: c_ushort = 65535;
