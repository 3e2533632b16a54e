//! What the programs need from Linux that safe crates do not offer, and the only crate that may
//! hold `unsafe`: serial ports opened through tokio-serial and serialport, with the locks, the
//! termios care and the readiness that they lack, pseudo terminals, multicast datagrams with their
//! TTL, and the process control a guard needs.
//!
//! In reading order:
//!
//! - [`clock`]: `CLOCK_BOOTTIME`, the one clock of the house, and a timer on it
//! - [`port`]: [`SerialPort`], the one type that moves bytes, over a [`Tty`] or a [`Pty`]
//! - [`tty`]: opening and owning a serial device
//! - [`policy`]: what becomes of the wires when it is opened and closed
//! - [`control`]: what can be done to an open line beside moving bytes
//! - [`signal_watch`]: being told when the far end moves a wire
//! - [`parmrk`]: undoing the marks of line errors in the input
//! - [`pty`]: a virtual serial port: the master of a PTY, its slave under a stable name
//! - [`owner`]: whose its slave is to be, by name
//! - [`cable`]: a null-modem cable between two virtual ports, at character time
//! - [`ports`]: which serial ports this machine has
//! - [`device_name`]: a name that finds an adapter wherever it is plugged in
//! - [`dgram`]: multicast and unicast datagrams, with the TTL they arrived with
//! - [`interfaces`](mod@interfaces): which network interfaces this machine has, by name or address
//! - [`link_watch`]: being told when they change
//! - [`descriptor`]: waiting for any other descriptor from crates that forbid `unsafe`
//! - [`process`]: sub-reaper, descendants, and a poll with a boottime deadline
//! - [`spawn`]: handing a descriptor to a child, and tying a child's life to its parent's

pub mod cable;
pub mod clock;
pub mod control;
pub mod descriptor;
pub mod device_name;
pub mod dgram;
pub mod interfaces;
pub mod link_watch;
#[cfg(test)]
mod machine;
mod modem;
pub mod owner;
pub mod parmrk;
pub mod policy;
pub mod port;
pub mod ports;
pub mod process;
pub mod pty;
pub mod signal_watch;
pub mod spawn;
mod termios;
pub mod tty;
mod watched;

pub use cable::{Cable, CableCounters, CablePace};
pub use clock::{BootTimer, boottime};
pub use control::{Control, ControlError};
pub use device_name::{DeviceName, DeviceNameError, ResolveError, UsbName};
pub use dgram::{DatagramSender, DatagramSocket, MulticastSocket, Received};
pub use interfaces::{Interface, InterfaceName, interfaces};
pub use link_watch::LinkWatch;
pub use modem::LineCounts;
pub use owner::{Owner, OwnerError};
pub use policy::{Level, OpenPolicy, Wires};
pub use port::{Gone, PortError, SerialPort};
pub use ports::{PortInfo, PortKind, UsbInfo};
pub use pty::{Pty, PtyAccess, PtyError, Slave};
pub use signal_watch::{LineState, SignalWatch};
pub use tty::{Difference, Tty, TtyError};
pub use wire::{Flow, LineSettings, Parity, SettingsError, StopBits};
