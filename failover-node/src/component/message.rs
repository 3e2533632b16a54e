//! What node and guard tell each other: messages of nine bytes, so that a reader needs no more
//! state than how many of the nine it has.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use wire::Time;

/// Bytes of every message, either way.
pub const MESSAGE_LEN: usize = 9;

/// From the node to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lease ends then unless another of these comes: the payload must be gone.
    LeaseUntil(Time),
    /// Start the payload under the grant of this epoch.
    Start(u64),
    /// Ask the payload to end, and kill it when it has not after so long.
    Stop(Duration),
    /// Kill the payload, if there is one, and end.
    Kill,
}

/// From the guard to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The payload runs, as this process.
    Started(u32),
    /// The payload could not be started: the system's error number.
    Failed(i32),
    /// Some of the payload is still there after all killing; the guard goes on trying.
    Remains {
        /// It belongs to another user.
        foreign: bool,
    },
    /// The payload and all its descendants are gone.
    Gone(Ending),
}

/// How a payload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself or by a signal: the system's raw wait status.
    Status(i32),
    /// It never ran: the lease was over, or it could not be started.
    NeverRan,
    /// It was a bridge, which is closed.
    Closed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(raw) => ExitStatus::from_raw(*raw).fmt(f),
            Self::NeverRan => f.write_str("never ran"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

impl Order {
    /// The bytes.
    pub fn encode(self) -> [u8; MESSAGE_LEN] {
        match self {
            Self::LeaseUntil(until) => message(b'L', until.as_nanos()),
            Self::Start(epoch) => message(b'S', epoch),
            Self::Stop(grace) => message(b'T', u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX)),
            Self::Kill => message(b'K', 0),
        }
    }

    /// From the bytes; `None` is none of ours, which only a bug can send.
    pub fn decode(bytes: [u8; MESSAGE_LEN]) -> Option<Self> {
        let (kind, value) = parts(bytes);
        match kind {
            b'L' => Some(Self::LeaseUntil(Time::from_nanos(value))),
            b'S' => Some(Self::Start(value)),
            b'T' => Some(Self::Stop(Duration::from_nanos(value))),
            b'K' => Some(Self::Kill),
            _ => None,
        }
    }
}

impl News {
    /// The bytes.
    pub fn encode(self) -> [u8; MESSAGE_LEN] {
        match self {
            Self::Started(pid) => message(b's', pid.into()),
            Self::Failed(errno) => message(b'f', u64::from(errno.cast_unsigned())),
            Self::Gone(Ending::Status(raw)) => message(b'g', u64::from(raw.cast_unsigned())),
            Self::Remains { foreign } => message(b'r', foreign.into()),
            Self::Gone(Ending::NeverRan) => message(b'n', 0),
            Self::Gone(Ending::Closed) => message(b'c', 0),
        }
    }

    /// From the bytes; `None` is none of ours, which only a bug can send.
    pub fn decode(bytes: [u8; MESSAGE_LEN]) -> Option<Self> {
        let (kind, value) = parts(bytes);
        let value = u32::try_from(value).ok()?;
        match kind {
            b's' => Some(Self::Started(value)),
            b'f' => Some(Self::Failed(value.cast_signed())),
            b'g' => Some(Self::Gone(Ending::Status(value.cast_signed()))),
            b'r' => Some(Self::Remains { foreign: value != 0 }),
            b'n' => Some(Self::Gone(Ending::NeverRan)),
            b'c' => Some(Self::Gone(Ending::Closed)),
            _ => None,
        }
    }
}

/// Takes the first whole message out of what was received.
pub fn take(received: &mut Vec<u8>) -> Option<[u8; MESSAGE_LEN]> {
    let first = *received.first_chunk()?;
    received.drain(..MESSAGE_LEN);
    Some(first)
}

fn message(kind: u8, value: u64) -> [u8; MESSAGE_LEN] {
    let mut bytes = [kind; MESSAGE_LEN];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn parts([kind, value @ ..]: [u8; MESSAGE_LEN]) -> (u8, u64) {
    (kind, u64::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let orders = [
            Order::LeaseUntil(Time::from_nanos(1 << 40)),
            Order::Start(7 << 32 | 1),
            Order::Stop(Duration::from_millis(500)),
            Order::Kill,
        ];
        for order in orders {
            assert_eq!(Order::decode(order.encode()), Some(order));
            assert_eq!(News::decode(order.encode()), None);
        }
        let news = [
            News::Started(4711),
            News::Failed(2),
            News::Gone(Ending::Status(9)),
            News::Gone(Ending::Status(-1)),
            News::Gone(Ending::NeverRan),
            News::Gone(Ending::Closed),
            News::Remains { foreign: true },
        ];
        for news in news {
            assert_eq!(News::decode(news.encode()), Some(news));
            assert_eq!(Order::decode(news.encode()), None);
        }
    }

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut received = Order::Kill.encode()[..8].to_vec();
        assert_eq!(take(&mut received), None);
        received.push(0);
        received.push(b'S');
        assert_eq!(take(&mut received), Some(Order::Kill.encode()));
        assert_eq!(received, b"S");
    }
}
