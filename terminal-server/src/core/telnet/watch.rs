//! What a client is told of the line's errors and modem lines, and when.

use wire::Signals;
use wire::rfc2217::modem_state;

/// What the client is to be told of the line's errors.
#[derive(Debug, Default)]
pub(super) struct LineWatch {
    pub(super) mask: u8,
    /// Bits that the client has not been told of.
    pub(super) bits: u8,
}

/// What the client is to be told of the modem lines.
#[derive(Debug)]
pub(super) struct ModemWatch {
    pub(super) mask: u8,
    /// The last sample; none has come yet if `None`.
    pub(super) levels: Option<Signals>,
    /// Change bits of the notification that is due.
    pub(super) changes: u8,
    /// A notification waits for its turn.
    pub(super) due: bool,
}

impl LineWatch {
    /// What the client has not been told of.
    pub(super) fn take(&mut self) -> Option<u8> {
        Some(std::mem::take(&mut self.bits)).filter(|bits| *bits != 0)
    }
}

impl ModemWatch {
    /// RFC 2217 tells of a value that has a bit in common with the mask. That would hide the end
    /// of the last level from a mask of levels only, so such a fall is told, too.
    pub(super) fn sample(&mut self, now: Signals) {
        let Some(before) = self.levels.replace(now) else { return };
        if before == now {
            return;
        }
        let changes = modem_state::changes(before, now);
        let fell = modem_state::levels(before) & !modem_state::levels(now);
        if (modem_state::levels(now) | changes | fell) & self.mask != 0 {
            self.due = true;
        }
        // Changes are those since the last sample, unless that one could not be told yet.
        self.changes = if self.due { self.changes | changes } else { 0 };
    }

    /// The notification that is due, once there is a sample.
    pub(super) fn take_due(&mut self) -> Option<u8> {
        (self.due && self.levels.is_some()).then(|| self.take())
    }

    /// The value to tell; it counts as told.
    pub(super) fn take(&mut self) -> u8 {
        self.due = false;
        let levels = modem_state::levels(self.levels.unwrap_or_default());
        levels | std::mem::take(&mut self.changes)
    }
}

impl Default for ModemWatch {
    /// RFC 2217: everything is told until the client says otherwise.
    fn default() -> Self {
        Self { mask: u8::MAX, levels: None, changes: 0, due: false }
    }
}
