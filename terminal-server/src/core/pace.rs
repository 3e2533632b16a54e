//! How fast the tty gets its bytes.

use std::time::Duration;

use wire::Time;

use super::config::LineConfig;

/// The tty gets at most this much time's worth of bytes ahead of the wire, so that at a takeover
/// little is out of hand.
const AHEAD: Duration = Duration::from_millis(20);
/// Or this many bytes on slow lines, so that the wire never idles between two wake-ups.
const AHEAD_BYTES: u32 = 16;
/// Keeps what the tty was given within reach, and gives slow devices their rests.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// How long a character takes.
    pub(crate) char_time: Duration,
    /// Whether the tty gets only what is within reach; else as fast as it takes it.
    paced: bool,
    /// A rest after each character, and after each line end.
    char_delay: Duration,
    line_delay: Duration,
    /// When the port will have sent all that it was given, by the clock.
    pub(crate) sent_until: Time,
    /// The same, by its own account too.
    pub(crate) busy_until: Time,
    /// When the rest is over.
    pub(crate) rest_until: Time,
}

impl Pace {
    pub(crate) fn new(config: &LineConfig) -> Self {
        let rests = !config.char_delay.is_zero() || !config.line_delay.is_zero();
        Self {
            char_time: config.char_time,
            paced: config.pace || rests,
            char_delay: config.char_delay,
            line_delay: config.line_delay,
            sent_until: Time::ZERO,
            busy_until: Time::ZERO,
            rest_until: Time::ZERO,
        }
    }

    fn ahead(&self) -> Duration {
        AHEAD.max(self.char_time * AHEAD_BYTES)
    }

    pub(crate) fn room(&self, now: Time) -> usize {
        if !self.paced {
            return usize::MAX;
        }
        if now < self.rest_until {
            return 0;
        }
        let free = self.ahead().saturating_sub(self.busy_until.since(now));
        (free.as_nanos() / self.char_time.as_nanos().max(1)) as usize
    }

    /// Half of what may be ahead has gone: not a wake-up a byte, and never an idle wire.
    pub(crate) fn room_at(&self) -> Time {
        (self.busy_until - self.ahead() / 2).max(self.rest_until)
    }

    /// As much of `bytes` as goes out without a rest.
    pub(crate) fn chunk<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.char_delay.is_zero() {
            return &bytes[..bytes.len().min(1)];
        }
        if self.line_delay.is_zero() {
            return bytes;
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = end.map_or(bytes.len(), |at| match bytes[at..] {
            [b'\r', b'\n', ..] => at + 2,
            _ => at + 1,
        });
        &bytes[..end]
    }

    pub(crate) fn handed(&mut self, bytes: &[u8], now: Time) {
        if !self.paced {
            return;
        }
        let takes = self.char_time * bytes.len() as u32;
        self.sent_until = self.sent_until.max(now) + takes;
        self.busy_until = self.busy_until.max(now) + takes;
        let rest = match bytes.last() {
            Some(b'\r' | b'\n') => self.char_delay.max(self.line_delay),
            _ => self.char_delay,
        };
        if !rest.is_zero() {
            self.rest_until = self.busy_until + rest;
        }
    }

    pub(crate) fn at_least(&mut self, count: usize, now: Time) {
        self.busy_until = self.busy_until.max(now + self.char_time * count as u32);
    }

    pub(crate) fn bytes_ahead(&self, now: Time) -> u64 {
        self.busy_until.since(now).as_nanos().div_ceil(self.char_time.as_nanos().max(1)) as u64
    }
}
