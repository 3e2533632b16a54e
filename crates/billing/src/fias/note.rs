//! What a gateway leaves for its successor.
#![deny(clippy::disallowed_methods)]

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::frame::is_text;
use super::link::Memory;
use crate::ledger::Ledger;

/// The gateway's whole state, as far as it outlives it.
///
/// Version (1 byte), phase (1), record of the description (1), flags (1), memory (1), record in
/// flight (1), its record of the description (1), times sent (1), stage (1), digest of the last
/// record (8, zero: none), ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) phase: Phase,
    /// The last answer given.
    pub(super) memory: Memory,
    /// The record that waits for an answer on the link, and how often it was sent.
    pub(super) in_flight: Option<(Sending, u8)>,
    /// What has become of the outstanding charge; [`Stage::Due`] if there is none.
    pub(super) stage: Stage,
    /// Something to say before anything else.
    pub(super) owed: Option<Owed>,
    /// All guests are to be asked for.
    pub(super) resync_due: bool,
    /// They are being told: nothing may be sent.
    pub(super) resync_runs: bool,
    /// Digest of the last record received.
    pub(super) last_record: u64,
    pub(super) ledger: Ledger,
}

/// How far the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is known: the other end speaks first, if it is there.
    Listening,
    /// `LS` is to be sent, or was sent and not answered.
    Starting,
    /// The record of the description to be sent next: `LD`, each `LR`, `LA`.
    Describing(u8),
    /// All was described; `LA` is awaited.
    Finishing,
    Alive,
    /// The other end has ended the link.
    Ended,
}

/// A record on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// `LS`: the link starts.
    Start,
    /// `LS`: is the other end there?
    Check,
    /// A record of the description.
    Description(u8),
    /// `LA`: the link is up.
    Alive,
    /// `LE`.
    End,
    /// `DR`.
    Resync,
    /// `PS`: the outstanding charge.
    Charge,
}

/// Something to be said before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    Alive,
    End,
}

/// What has become of the outstanding charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// To be sent.
    #[default]
    Due,
    /// On its way.
    Sent,
    /// Acknowledged on the link: `PA` is awaited.
    Taken,
    /// To be sent again later.
    Held,
}

impl Note {
    pub(super) fn encode(&self) -> Bytes {
        let mut note = BytesMut::with_capacity(128);
        let (phase, next) = match self.phase {
            Phase::Listening => (0, 0),
            Phase::Starting => (1, 0),
            Phase::Describing(next) => (2, next),
            Phase::Finishing => (3, 0),
            Phase::Alive => (4, 0),
            Phase::Ended => (5, 0),
        };
        let owed = match self.owed {
            None => 0,
            Some(Owed::Alive) => 1,
            Some(Owed::End) => 2,
        };
        let flags = owed | u8::from(self.resync_due) << 2 | u8::from(self.resync_runs) << 3;
        let (sending, part, sent) = match self.in_flight {
            None => (0, 0, 0),
            Some((Sending::Start, sent)) => (1, 0, sent),
            Some((Sending::Check, sent)) => (2, 0, sent),
            Some((Sending::Description(part), sent)) => (3, part, sent),
            Some((Sending::Alive, sent)) => (4, 0, sent),
            Some((Sending::End, sent)) => (5, 0, sent),
            Some((Sending::Resync, sent)) => (6, 0, sent),
            Some((Sending::Charge, sent)) => (7, 0, sent),
        };
        note.put_slice(&[VERSION, phase, next, flags, self.memory as u8]);
        note.put_slice(&[sending, part, sent, self.stage as u8]);
        note.put_u64(self.last_record);
        self.ledger.encode(&mut note);
        note.freeze()
    }

    /// `None`: it is none of this version, or damaged.
    pub(super) fn decode(mut note: Bytes) -> Option<Self> {
        let mut head = [0; HEAD];
        note.try_copy_to_slice(&mut head).ok()?;
        let [VERSION, phase, next, flags, memory, sending, part, sent, stage] = head else {
            return None;
        };
        let phase = match (phase, next) {
            (0, 0) => Phase::Listening,
            (1, 0) => Phase::Starting,
            (2, next) => Phase::Describing(next),
            (3, 0) => Phase::Finishing,
            (4, 0) => Phase::Alive,
            (5, 0) => Phase::Ended,
            _ => return None,
        };
        let memory = *[Memory::None, Memory::Ack, Memory::Nak].get(usize::from(memory))?;
        let sending = match (sending, part) {
            (0, 0) => None,
            (1, 0) => Some(Sending::Start),
            (2, 0) => Some(Sending::Check),
            (3, part) => Some(Sending::Description(part)),
            (4, 0) => Some(Sending::Alive),
            (5, 0) => Some(Sending::End),
            (6, 0) => Some(Sending::Resync),
            (7, 0) => Some(Sending::Charge),
            _ => return None,
        };
        let stages = [Stage::Due, Stage::Sent, Stage::Taken, Stage::Held];
        let stage = *stages.get(usize::from(stage))?;
        let owed = *[None, Some(Owed::Alive), Some(Owed::End)].get(usize::from(flags & 3))?;
        let last_record = note.try_get_u64().ok()?;
        let ledger = Ledger::decode(&mut note)?;
        // Two ways to say that the charge is on its way must agree, and without a charge nothing
        // is said of one.
        let in_flight = sending.map(|sending| (sending, sent));
        let is_charge = sending == Some(Sending::Charge);
        let agrees = match ledger.outstanding() {
            Some(charge) => {
                is_charge == (stage == Stage::Sent) && charge.text.iter().all(|b| is_text(*b))
            }
            None => !is_charge && stage == Stage::Due,
        };
        let is_whole = note.is_empty() && flags < 16 && (in_flight.is_some() || sent == 0);
        (agrees && is_whole).then_some(Self {
            phase,
            memory,
            in_flight,
            stage,
            owed,
            resync_due: flags & 4 != 0,
            resync_runs: flags & 8 != 0,
            last_record,
            ledger,
        })
    }
}

const VERSION: u8 = 1;
const HEAD: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outstanding;
    use proptest::prelude::*;

    fn note() -> Note {
        let mut ledger = Ledger::new(41);
        let text = Bytes::from_static(b"PS|RN1|");
        ledger.send(Outstanding { number: 42, key: "k".into(), text });
        Note {
            phase: Phase::Alive,
            memory: Memory::Ack,
            in_flight: Some((Sending::Charge, 2)),
            stage: Stage::Sent,
            owed: Some(Owed::End),
            resync_due: true,
            resync_runs: false,
            last_record: 7,
            ledger,
        }
    }

    #[test]
    fn there_and_back() {
        let plain = Note { ledger: Ledger::new(0), in_flight: None, stage: Stage::Due, ..note() };
        let early = Note { phase: Phase::Describing(3), owed: None, ..plain.clone() };
        let sending = Some((Sending::Description(3), 1));
        let sent = Note { in_flight: sending, memory: Memory::None, ..early.clone() };
        for note in [note(), plain, early, sent] {
            assert_eq!(Note::decode(note.encode()), Some(note));
        }
    }

    #[test]
    fn another_version_or_a_torn_note_is_none() {
        let whole = note().encode();
        for len in 0..whole.len() {
            assert_eq!(Note::decode(whole.slice(..len)), None, "{len}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Note::decode(longer.into()), None);
        let other = [&[VERSION + 1], &whole[1..]].concat();
        assert_eq!(Note::decode(other.into()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            changed in prop::collection::vec((0usize..60, any::<u8>()), 0..4),
        ) {
            let mut near = note().encode().to_vec();
            for (at, byte) in changed {
                if let Some(place) = near.get_mut(at) {
                    *place = byte;
                }
            }
            for bytes in [bytes, near] {
                if let Some(note) = Note::decode(Bytes::from(bytes.clone())) {
                    prop_assert_eq!(&note.encode()[..], &bytes[..]);
                }
            }
        }
    }
}
