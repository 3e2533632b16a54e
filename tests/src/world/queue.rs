//! What is going to happen, in order of time. Events lie still in slots; only small keys move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::True;
use super::schedule::Event;

/// The events to come.
#[derive(Debug, Default)]
pub struct Queue {
    order: BinaryHeap<Reverse<(True, u64, usize)>>,
    slots: Vec<Option<Event>>,
    free: Vec<usize>,
    queued: u64,
}

impl Queue {
    /// `event` happens at `at`, after all that was queued for that time before.
    pub fn push(&mut self, at: True, event: Event) {
        self.queued += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(event);
        self.order.push(Reverse((at, self.queued, slot)));
    }

    /// The next event, and when it happens.
    pub fn pop(&mut self) -> Option<(True, Event)> {
        let Reverse((at, _, slot)) = self.order.pop()?;
        self.free.push(slot);
        Some((at, self.slots[slot].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_as_queued() {
        let mut queue = Queue::default();
        for (at, number) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(at, Event::Record(number));
        }
        let mut seen = Vec::new();
        while let Some((at, Event::Record(number))) = queue.pop() {
            seen.push((at, number));
        }
        assert_eq!(seen, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}
