//! Points of a conversation at which something can be done to the chain.

use std::fmt;
use std::time::Duration;

use billing_sim::exchange::entry::What as Seen;
use sys::boottime;

use crate::chain::Chain;
use crate::error::{LabError, Result};
use crate::timeline::{Moment, What};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Gateway,
    /// The billing system.
    Billing,
}

/// A point of a conversation, as the billing system's port sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// So many bytes of a record have passed, and more follow.
    Inside(Side, usize),
    /// Its ETX has passed, and its check has not.
    BeforeCheck(Side),
    /// It has passed, and its answer has not.
    BeforeAnswer(Side),
    /// Its answer on the link has passed, and nothing more.
    AfterAnswer(Side),
    /// Nothing has passed for a while.
    Idle,
}

/// Where a stream of one side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Between,
    /// Bytes of the record so far.
    In(usize),
    /// Behind its ETX.
    Check,
    /// Behind its end.
    End,
}

impl Chain {
    /// Waits until the conversation comes to `point`, from now on. The timeline must have the bytes:
    /// see [`Accounts::watched`](super::Accounts).
    ///
    /// # Errors
    /// It does not come there in time.
    pub async fn reach(&self, point: Point, within: Duration) -> Result<Moment> {
        let (since, framed) = (self.timeline().now(), self.speaks_in_frames());
        let deadline = boottime() + within;
        loop {
            let now = self.timeline().now();
            let passed = self.timeline().all(since, |entry| match &entry.what {
                What::Exchange(Seen::In { bytes }) => {
                    Some((entry.at, Side::Gateway, bytes.clone()))
                }
                What::Exchange(Seen::Out { bytes }) => {
                    Some((entry.at, Side::Billing, bytes.clone()))
                }
                _ => None,
            });
            let last = passed.last().map_or(since.at, |(at, ..)| *at);
            let bytes = passed.iter().flat_map(|(_, side, b)| b.iter().map(|byte| (*side, *byte)));
            let reached = match point {
                Point::Idle => now.at.saturating_sub(last) >= IDLE,
                _ => is_at(point, bytes, framed),
            };
            if reached {
                return Ok(now);
            }
            if now.at > deadline {
                return Err(LabError::Late { what: point.to_string(), within });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether records stand between STX and ETX; else they are lines.
    fn speaks_in_frames(&self) -> bool {
        self.settings().speech.accounts().is_none_or(|accounts| accounts.dialect != "cdr")
    }
}

/// Whether the conversation stands at the point or has just passed it.
fn is_at(point: Point, bytes: impl Iterator<Item = (Side, u8)>, framed: bool) -> bool {
    let (mut gateway, mut billing) = (At::Between, At::Between);
    let mut was = false;
    for (side, byte) in bytes {
        let (own, other) = match side {
            Side::Gateway => (&mut gateway, &billing),
            Side::Billing => (&mut billing, &gateway),
        };
        let answers = *other == At::End && is_answer(byte) && !matches!(own, At::In(_));
        *own = next(*own, byte, framed);
        let spoken = *own;
        if answers {
            match side {
                Side::Gateway => billing = At::Between,
                Side::Billing => gateway = At::Between,
            }
        }
        was |= match point {
            Point::Inside(of, count) => side == of && spoken == At::In(count),
            Point::BeforeCheck(of) => side == of && spoken == At::Check,
            Point::BeforeAnswer(of) => side == of && spoken == At::End,
            Point::AfterAnswer(of) => answers && side != of,
            Point::Idle => false,
        };
    }
    was
}

fn next(at: At, byte: u8, framed: bool) -> At {
    match (at, byte) {
        (At::Check, _) => At::End,
        (_, STX) if framed => At::In(1),
        (At::In(_), ETX) if framed => At::Check,
        (At::In(_), b'\n') if !framed => At::End,
        (At::In(count), _) => At::In(count + 1),
        (At::Between | At::End, 0x20..) if !framed => At::In(1),
        (at, _) => at,
    }
}

/// ACK, or the second byte of ACK0 or ACK1.
fn is_answer(byte: u8) -> bool {
    matches!(byte, ACK | b'0' | b'1')
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Billing => "billing system",
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside(side, count) => write!(f, "{count} bytes into a record of the {side}"),
            Self::BeforeCheck(side) => write!(f, "between ETX and check of the {side}"),
            Self::BeforeAnswer(side) => write!(f, "before the answer to the {side}"),
            Self::AfterAnswer(side) => write!(f, "after the answer to the {side}"),
            Self::Idle => f.write_str("idle"),
        }
    }
}

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const ACK: u8 = 0x06;
/// Longer than any pause within an exchange of records.
const IDLE: Duration = Duration::from_millis(120);
/// Half a character at 9600 bauds.
const LOOK: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(point: Point, said: &[(Side, &[u8])]) -> bool {
        let bytes = said.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, *byte)));
        is_at(point, bytes, true)
    }

    #[test]
    fn points_are_reached_in_their_order() {
        use Side::{Billing, Gateway};
        let half: &[(Side, &[u8])] = &[(Gateway, b"\x02PS|")];
        assert!(at(Point::Inside(Gateway, 4), half));
        assert!(!at(Point::Inside(Gateway, 5), half) && !at(Point::Inside(Billing, 4), half));
        let etx: &[(Side, &[u8])] = &[(Gateway, b"\x02PS|\x03")];
        assert!(at(Point::BeforeCheck(Gateway), etx) && !at(Point::BeforeAnswer(Gateway), etx));
        let whole: &[(Side, &[u8])] = &[(Gateway, b"\x02PS|\x03\x06")];
        assert!(at(Point::BeforeAnswer(Gateway), whole));
        assert!(!at(Point::AfterAnswer(Gateway), whole), "a check that looks like an ACK is none");
        let answered: &[(Side, &[u8])] = &[(Gateway, b"\x02PS|\x03\x06"), (Billing, b"\x06")];
        assert!(at(Point::AfterAnswer(Gateway), answered));
        assert!(!at(Point::AfterAnswer(Billing), answered));
    }

    #[test]
    fn a_line_is_a_record_where_there_are_no_frames() {
        let bytes = b"one\r\n\0two".iter().map(|byte| (Side::Billing, *byte));
        assert!(is_at(Point::Inside(Side::Billing, 3), bytes.clone(), false));
        assert!(is_at(Point::BeforeAnswer(Side::Billing), bytes.clone(), false));
        assert!(!is_at(Point::Inside(Side::Billing, 7), bytes, false));
    }
}
