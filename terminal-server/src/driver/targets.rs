//! Who hears beacons, and the sockets by which they go out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sys::{DatagramSender, InterfaceName};
use tokio::task::JoinHandle;
use wire::Time;

use super::options::BeaconOptions;
use super::server::StartError;

/// All receivers of one group's beacons.
#[derive(Debug)]
pub(crate) struct Targets {
    all: Vec<Target>,
    /// Off the loop, since listing interfaces may wait for the system.
    opening: Option<JoinHandle<Vec<Opened>>>,
    /// Not before that is one that is closed opened again.
    retry: Time,
}

/// One receiver: a host, or a multicast group on one interface.
#[derive(Debug)]
struct Target {
    place: Place,
    /// `None`: its interface is not there.
    sender: Option<DatagramSender>,
    /// The last beacon to it failed; that is said once and not ten times a second.
    failing: bool,
}

#[derive(Debug, Clone)]
struct Place {
    dest: SocketAddr,
    interface: InterfaceName,
}

/// Which one, and what came of it.
type Opened = (usize, io::Result<DatagramSender>);

impl Targets {
    /// Hosts once, groups on each interface. One that cannot be opened is tried again later.
    ///
    /// # Errors
    /// None can be opened.
    pub(crate) fn open(options: &BeaconOptions) -> Result<Self, StartError> {
        let mut all = Vec::new();
        let mut first = None;
        for place in places(options) {
            let sender = place.open();
            let mut target = Target { place, sender: None, failing: false };
            match sender {
                Ok(sender) => target.sender = Some(sender),
                Err(source) => {
                    target.fails(&source);
                    let Place { dest, interface } = target.place.clone();
                    first.get_or_insert(StartError::Beacon { target: dest, interface, source });
                }
            }
            all.push(target);
        }
        match first {
            Some(error) if all.iter().all(|target| target.sender.is_none()) => Err(error),
            _ => Ok(Self { all, opening: None, retry: Time::ZERO }),
        }
    }

    /// Sends to all. What cannot be sent is lost, as on any network.
    pub(crate) fn send(&mut self, beacon: &[u8], now: Time) {
        self.all.iter_mut().for_each(|target| target.send(beacon));
        let closed = self.all.iter().enumerate().filter(|(_, target)| target.sender.is_none());
        let closed: Vec<_> = closed.map(|(n, target)| (n, target.place.clone())).collect();
        if !closed.is_empty() && self.opening.is_none() && now >= self.retry {
            self.retry = now + RETRY;
            let open = move || closed.into_iter().map(|(n, place)| (n, place.open())).collect();
            self.opening = Some(tokio::task::spawn_blocking(open));
        }
    }

    /// Waits until what was closed is open again, if there is such a thing. Cancel-safe.
    pub(crate) async fn opened(&mut self) {
        let Some(opening) = &mut self.opening else { return std::future::pending().await };
        let opened = opening.await;
        self.opening = None;
        // A task that was cancelled has opened nothing; the runtime is going.
        for (number, sender) in opened.into_iter().flatten() {
            if let Some(target) = self.all.get_mut(number) {
                target.sender = sender.ok();
            }
        }
    }
}

/// Each with its interface.
fn places(options: &BeaconOptions) -> Vec<Place> {
    let any = [InterfaceName::default()];
    let given = if options.interfaces.is_empty() { &any } else { &options.interfaces[..] };
    let place = |dest: SocketAddr| {
        let interfaces = if dest.ip().is_multicast() { given } else { &any };
        interfaces.iter().map(move |interface| Place { dest, interface: interface.clone() })
    };
    options.targets.iter().copied().flat_map(place).collect()
}

impl Place {
    fn open(&self) -> io::Result<DatagramSender> {
        DatagramSender::open(self.dest, self.interface.clone())
    }
}

impl Target {
    fn send(&mut self, beacon: &[u8]) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(beacon) {
            Ok(_) if self.failing => {
                self.failing = false;
                let Place { dest, interface } = &self.place;
                tracing::info!(%dest, %interface, "beacons can be sent again");
            }
            Ok(_) => {}
            Err(error) => {
                self.fails(&error);
                // An interface that was made anew has another number, which the socket knows not.
                if self.place.dest.ip().is_multicast() {
                    self.sender = None;
                }
            }
        }
    }

    fn fails(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let Place { dest, interface } = &self.place;
            tracing::warn!(
                %dest, %interface, %error,
                "failed to send a beacon; is the network up, and --interface one of its own?"
            );
        }
    }
}

/// An interface that is gone is looked for so often.
const RETRY: Duration = Duration::from_secs(1);
