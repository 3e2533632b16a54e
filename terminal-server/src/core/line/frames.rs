//! What is sent to clients that speak frames.

use bytes::Bytes;
use wire::frame::{INPUT_WINDOW, MAX_INPUT};
use wire::{EventKind, Frame, Input as InputFrame, LineEvent, Time, Written};

use super::{Action, Line};
use crate::core::client::{ClientId, Stage};
use crate::core::config::ObserverLag;

impl Line {
    /// The next frame for a client that speaks frames and can be sent to. Control frames overtake
    /// input.
    pub fn poll_frame(&mut self, id: ClientId, now: Time) -> Option<Frame> {
        let signals = self.signals;
        let client = self.clients.get_mut(&id)?;
        if client.speaks_bytes() {
            return None;
        }
        if let Some(frame) = client.control.pop_front() {
            return Some(frame);
        }
        if client.signals_told.is_some_and(|told| told != signals) {
            client.signals_told = Some(signals);
            return Some(Frame::Signals(signals));
        }
        match client.stage {
            Stage::Holder => self.frame_of_holder(id, now),
            Stage::Observer => self.frame_of_observer(id),
            _ => None,
        }
    }

    fn frame_of_holder(&mut self, id: ClientId, now: Time) -> Option<Frame> {
        if let Some(n) = self.clients.get_mut(&id)?.renewed.take() {
            return Some(Frame::Renewed(n));
        }
        let client = self.clients.get_mut(&id)?;
        if std::mem::take(&mut client.written) {
            let drained = self.output.drained(now);
            client.drained_told = drained;
            return Some(Frame::Written(Written { accepted: self.output.accepted(), drained }));
        }
        client.cursor = client.cursor.max(self.input.first_offset());
        if let Some(event) = self.input.tell(client.cursor) {
            return Some(Frame::Event(event));
        }
        let room = (self.input.acked() + INPUT_WINDOW).saturating_sub(client.cursor);
        let offset = client.cursor;
        let bytes = self.input.take(offset, MAX_INPUT.min(room as usize));
        client.cursor += bytes.len() as u64;
        let bytes = Bytes::copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(Frame::Input(InputFrame { offset, bytes }))
    }

    fn frame_of_observer(&mut self, id: ClientId) -> Option<Frame> {
        if let Some(missed) = self.catch_up(id)? {
            let offset = self.input.base();
            return Some(Frame::Event(LineEvent { offset, kind: EventKind::Gap(missed) }));
        }
        let client = self.clients.get_mut(&id)?;
        if let Some(event) = self.input.tell_observer(&mut client.marks_told, client.cursor) {
            return Some(Frame::Event(event));
        }
        let offset = client.cursor;
        let bytes = Bytes::copy_from_slice(self.input.run(offset, MAX_INPUT));
        client.cursor += bytes.len() as u64;
        (!bytes.is_empty()).then_some(Frame::Input(InputFrame { offset, bytes }))
    }

    /// An observer that is behind what is kept goes on there, and how much it missed; or it is
    /// closed. `None`: it is not here any more.
    pub(super) fn catch_up(&mut self, id: ClientId) -> Option<Option<u64>> {
        let base = self.input.base();
        let client = self.clients.get_mut(&id)?;
        let missed = base.saturating_sub(client.cursor);
        if missed == 0 {
            return Some(None);
        }
        if self.config.observer_lag == ObserverLag::Close && !matches!(client.stage, Stage::Holder)
        {
            self.counters.lagging += 1;
            self.clients.remove(&id);
            self.actions.push_back(Action::Drop(id));
            return None;
        }
        self.counters.bytes_missed += missed;
        client.cursor = base;
        Some(Some(missed))
    }
}
