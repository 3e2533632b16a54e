//! Four lines, two of them with somebody who does honest work.

use std::time::Duration;

use crate::stand::{Heard, Stand, pause};
use crate::witness::Witness;

/// - `pms`: held by a node; strangers may come by all three protocols
/// - `bench`: owned by a raw client
/// - `open`: telnet, for whoever comes
/// - `cdr`: for any node
pub struct Scene {
    pub stand: Stand,
    holder: Witness,
    owner: Witness,
    /// What reached the far ends of `pms` and `bench`.
    heard: [Heard; 2],
    /// What reached the far end of `open`.
    pub open: Heard,
    resident: u64,
}

/// Where `pms` and `cdr` speak the line protocol.
pub const LINE: &str = "127.0.0.1";
/// Where `pms` speaks raw.
pub const RAW: &str = "127.0.1.1";
/// Where `pms` speaks telnet.
pub const TELNET: &str = "127.0.2.1";
/// Where `bench` speaks raw.
pub const BENCH: &str = "127.0.1.2";
/// Where `open` speaks telnet.
pub const OPEN: &str = "127.0.2.2";

const LINES: &str = r#"
[defaults]
settings = "921600,8N1"
[line.pms]
virtual = "DIR/pms"
groups = ["crew"]
listen = [
    { speech = "line", address = "127.0.0.1:0" },
    { speech = "raw", address = "127.0.1.1:0" },
    { speech = "telnet", address = "127.0.2.1:0" },
]
[line.bench]
virtual = "DIR/bench"
listen = [{ speech = "raw", address = "127.0.1.2:0" }]
[line.open]
virtual = "DIR/open"
on_busy = "replace"
listen = [{ speech = "telnet", address = "127.0.2.2:0" }]
[line.cdr]
virtual = "DIR/cdr"
groups = ["crew"]
listen = [{ speech = "line", address = "127.0.0.1:0" }]
"#;

impl Scene {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With more in the configuration, before the lines.
    pub fn with(more: &str) -> Self {
        let stand = Stand::start(&(more.to_owned() + LINES));
        let heard = [stand.far("pms").echo(), stand.far("bench").echo()];
        let open = stand.far("open").listen();
        let holder = Witness::holder(stand.at(LINE), "pms");
        let owner = Witness::raw(stand.at(BENCH));
        pause(100);
        let resident = stand.resident();
        Self { stand, holder, owner, heard, open, resident }
    }

    /// After the attack: the others were served all the while, and that is all there is to see.
    pub fn end(mut self) -> Stand {
        pause(100);
        let grown = self.stand.resident().saturating_sub(self.resident);
        let held = self.stand.line("pms");
        let services = [self.holder.end(), self.owner.end()];
        for service in &services {
            let (median, worst, count) = (service.median(), service.worst(), service.rounds.len());
            println!(
                "{count} round trips: median {median:?}, worst {worst:?}; memory +{grown} KiB"
            );
            assert!(count >= 10, "{count} round trips");
            assert!(median < MEDIAN && worst < WORST, "median {median:?}, worst {worst:?}");
        }
        assert!(grown < GROWTH, "it grew by {grown} KiB");
        assert_eq!(held["epoch"], services[0].epoch.to_string(), "the holder kept its grant");
        for (heard, service) in self.heard.iter().zip(&services) {
            assert!(*heard.bytes() == service.sent, "the line got what its holder sent, only");
        }
        self.stand.is_sound();
        self.stand
    }
}

/// Under fire on a machine that other work shares, every other round trip is within this...
const MEDIAN: Duration = Duration::from_millis(250);
/// ...and each within this, which is less than half of the holder's lease.
const WORST: Duration = Duration::from_millis(1400);
/// Resident memory in KiB that an attack may cost.
const GROWTH: u64 = 32 * 1024;
