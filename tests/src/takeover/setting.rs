//! A run: dialect, load, stores, and what happens to whom where.

use std::time::Duration;

use billing::{Civil, Dialect, WallClock};

use super::faults::Fault;

/// Everything that a run depends on: the same setting gives the same run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What is spoken.
    pub dialect: Dialect,
    /// Of the load.
    pub seed: u64,
    /// Charges that wait when the run begins.
    pub charges: u64,
    /// Records that the billing system sends.
    pub records: u64,
    /// Who has which store.
    pub stores: Stores,
    /// What happens, in order.
    pub faults: Vec<Fault>,
    /// From the end of a grant to the next claim.
    pub gap: Duration,
    /// When the first node claims.
    pub starts: Duration,
    /// The clock on the billing system's wall.
    pub wall: WallClock,
    /// The second node's clock shows so many seconds less.
    pub behind: i64,
    /// Somebody looks the last number up at the billing system when a gateway needs it.
    pub has_person: bool,
    /// A node's process reads what has come only every so often, all of it at once.
    pub reads: Duration,
    /// How long a grant lives without a renewal.
    pub lease: Duration,
    /// Records are handled by a handler, which takes this long; else they only are stored.
    pub handler: Option<Duration>,
    /// Every frame is written down.
    pub is_traced: bool,
}

/// Who has which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// One for all nodes.
    Shared,
    /// Each node has its own, and half of the charges.
    Own,
}

impl Setting {
    /// A short conversation without any fault.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            seed: 1,
            charges: 2,
            records: 2,
            stores: Stores::Shared,
            faults: Vec::new(),
            gap: Duration::from_millis(30),
            starts: Duration::ZERO,
            wall: wall(),
            behind: 0,
            has_person: false,
            reads: Duration::ZERO,
            lease: Duration::from_secs(30),
            handler: None,
            is_traced: false,
        }
    }

    /// The dialect of this name with these settings.
    ///
    /// # Panics
    /// There is none.
    pub fn of(name: &str, settings: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = settings.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Self::new(Dialect::named(name, &pairs).expect("a dialect with its settings"))
    }

    /// With these faults.
    #[must_use]
    pub fn with(&self, faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..self.clone() }
    }

    /// The clock on the wall of a node.
    pub fn wall_of(&self, node: usize) -> WallClock {
        let behind = if node.is_multiple_of(2) { 0 } else { self.behind };
        WallClock { at_boot: self.wall.at_boot - behind }
    }

    /// With stores like this.
    #[must_use]
    pub fn stores(&self, stores: Stores) -> Self {
        Self { stores, ..self.clone() }
    }
}

/// The clock on everybody's wall, unless a setting says otherwise.
pub fn wall() -> WallClock {
    let noon = Civil { year: 2018, month: 6, day: 18, hour: 12, minute: 0, second: 0 };
    WallClock { at_boot: noon.seconds() }
}

/// How long a character takes: 9600 bit/s, 8N1.
pub const CHARACTER: Duration = Duration::from_nanos(1_041_667);
/// From the terminal server to a client or back.
pub const LATENCY: Duration = Duration::from_micros(300);
