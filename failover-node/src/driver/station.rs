//! What a node has for one line: the connection to its terminal server, and the instance.

use std::future::{Future, poll_fn};
use std::task::Poll;

use wire::{Epoch, Grant, Time};

use super::connection::{Connection, ConnectionEvent};
use crate::component::instance::{Instance, InstanceEvent};
use crate::core::LineId;

/// The body of one line.
pub(crate) struct Station {
    pub(crate) connection: Connection,
    pub(crate) instance: Option<Instance>,
    /// The grant that the payload runs under, for the log.
    pub(crate) epoch: Epoch,
    /// The grant whose payload waits for the hooks before serving.
    pub(crate) gated: Option<Grant>,
}

/// What happened at a station.
#[derive(Debug)]
pub(crate) enum StationEvent {
    Instance(InstanceEvent),
    Connection(ConnectionEvent),
}

/// What a station may be read for at present.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) payload: bool,
    pub(crate) connection: bool,
}

impl Station {
    pub(crate) fn new() -> Self {
        Self { connection: Connection::None, instance: None, epoch: Epoch::NONE, gated: None }
    }

    /// Waits for what happens next. Cancel-safe: what is half done lives in `self`.
    async fn event(&mut self, wants: Wants, payload_first: bool) -> StationEvent {
        let instance = async {
            match &mut self.instance {
                Some(instance) => instance.event(wants.payload).await,
                None => std::future::pending().await,
            }
        };
        let connection = self.connection.event(wants.connection);
        // By turns, so that a payload that talks without a pause keeps no renewal from being read.
        if payload_first {
            tokio::select! {
                biased;
                event = instance => StationEvent::Instance(event),
                event = connection => StationEvent::Connection(event),
            }
        } else {
            tokio::select! {
                biased;
                event = connection => StationEvent::Connection(event),
                event = instance => StationEvent::Instance(event),
            }
        }
    }

    /// When something here is to be looked at.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.instance.as_ref().and_then(|instance| instance.patience)
    }
}

/// Waits for what happens next at any station. Cancel-safe. `turn` grows with each call, so that a
/// busy line, or a busy side of one, cannot keep another from its turn.
pub(crate) async fn next_event(
    stations: &mut [Station],
    wants: &[Wants],
    turn: usize,
) -> (LineId, StationEvent) {
    let count = stations.len().max(1);
    let all = stations.iter_mut().zip(wants).enumerate();
    let payload_first = (turn / count).is_multiple_of(2);
    let mut events: Vec<_> = all
        .map(|(line, (station, wants))| (line, Box::pin(station.event(*wants, payload_first))))
        .collect();
    events.rotate_left(turn % count);
    poll_fn(|context| {
        for (line, event) in &mut events {
            if let Poll::Ready(event) = event.as_mut().poll(context) {
                return Poll::Ready((*line, event));
            }
        }
        Poll::Pending
    })
    .await
}
