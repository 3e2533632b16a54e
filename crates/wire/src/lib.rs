//! Byte formats shared by the programs of Linekeeper, and the few words they are made of.
//!
//! Everything here is sans-IO: values in, bytes out, and back. `docs/wire-format.md` is the
//! specification; the `tests/golden_*.rs` hold the exact bytes of every message.
//!
//! Reading order:
//! - [`time`], [`name`], [`epoch`], [`key`], [`keyring`]: the words
//! - [`settings`], [`signals`]: how a serial line is set, and the levels of its wires
//! - [`cursor`]: bounded reading and writing
//! - [`frame`], [`codec`], [`handshake`]: the line protocol over TCP
//! - [`telnet`], [`telnet_options`], [`rfc2217`]: what other programs speak on TCP
//! - [`status`], [`heartbeat`], [`digest`], [`beacon`], [`datagram`]: what is multicast
//! - [`guard`]: the switches by which tests prove that a guard is needed

#![warn(missing_docs)]
#![deny(clippy::disallowed_methods)]

pub mod beacon;
pub mod codec;
pub mod cursor;
pub mod datagram;
pub mod digest;
pub mod epoch;
mod fields;
pub mod frame;
pub mod guard;
pub mod handshake;
pub mod heartbeat;
pub mod key;
pub mod keyring;
pub mod name;
pub mod rfc2217;
pub mod settings;
pub mod signals;
pub mod status;
pub mod telnet;
pub mod telnet_options;
pub mod time;

pub use beacon::Beacon;
pub use codec::FrameCodec;
pub use cursor::DecodeError;
pub use datagram::{Datagram, DatagramError, MAX_DATAGRAM};
pub use digest::Digests;
pub use epoch::Epoch;
pub use frame::{
    Ack, Claim, ErrorCode, EventKind, Fate, Frame, Grant, Hello, Input, LastFrame, LineEvent,
    Observe, ObserveFrom, Observing, Output, Refuse, RefuseWhy, RevokeWhy, Revoked, Welcome,
    Written,
};
pub use guard::Guard;
pub use heartbeat::{Heartbeat, PeerEcho, Role};
pub use key::{Key, KeyError, Mac};
pub use keyring::{KeyRing, KeyRingError};
pub use name::{BootId, Name, NameError, Nonce};
pub use settings::{Flow, LineSettings, Parity, SettingsChange, SettingsError, StopBits};
pub use signals::{SignalChange, Signals};
pub use status::{FreeCause, LineState, LineStatus};
pub use telnet::{CrLf, TelnetCommand, TelnetEvent, TelnetParser};
pub use time::Time;
