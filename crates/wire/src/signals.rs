//! The levels of a serial line's wires.

use std::fmt;
use std::ops::BitOr;

/// Levels of the modem lines, and whether a break is being sent: a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Signals(pub u8);

/// Which of our outputs are to change, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SignalChange {
    /// Data terminal ready.
    pub dtr: Option<bool>,
    /// Request to send.
    pub rts: Option<bool>,
    /// Break: the transmitter held at space.
    pub brk: Option<bool>,
}

impl Signals {
    /// No wire is active.
    pub const NONE: Self = Self(0);
    /// Data terminal ready, ours.
    pub const DTR: Self = Self(1);
    /// Request to send, ours.
    pub const RTS: Self = Self(2);
    /// Clear to send, theirs.
    pub const CTS: Self = Self(4);
    /// Data set ready, theirs.
    pub const DSR: Self = Self(8);
    /// Ring indicator, theirs.
    pub const RI: Self = Self(16);
    /// Data carrier detect, theirs.
    pub const DCD: Self = Self(32);
    /// We are sending a break.
    pub const BREAK: Self = Self(64);
    /// All of them.
    pub const ALL: Self = Self(127);
    /// The far end's wires.
    pub const THEIRS: Self = Self(4 | 8 | 16 | 32);

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set with `other` put in or taken out.
    #[must_use]
    pub const fn set(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { Self(self.0 & !other.0) }
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set after `change`.
    #[must_use]
    pub fn with(self, change: SignalChange) -> Self {
        let wires = [(Self::DTR, change.dtr), (Self::RTS, change.rts), (Self::BREAK, change.brk)];
        let wires = wires.into_iter().filter_map(|(wire, on)| Some((wire, on?)));
        wires.fold(self, |signals, (wire, on)| signals.set(wire, on))
    }
}

/// The active ones, as `DTR RTS CTS`.
impl fmt::Display for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::DTR, "DTR"),
            (Self::RTS, "RTS"),
            (Self::CTS, "CTS"),
            (Self::DSR, "DSR"),
            (Self::RI, "RI"),
            (Self::DCD, "DCD"),
            (Self::BREAK, "BREAK"),
        ];
        let active = names.into_iter().filter(|(wire, _)| self.has(*wire)).map(|(_, name)| name);
        f.write_str(&active.collect::<Vec<_>>().join(" "))
    }
}

impl BitOr for Signals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl SignalChange {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
