//! What can go wrong. Every schedule has at least three of these.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clock::{MS, True};
use super::setting::{Kind, Setting};

/// Whom a fault is done to.
#[derive(Debug, Clone, Copy)]
pub enum Whom {
    /// The coordinator of that moment.
    Coordinator,
    /// A node that is none at that moment, counted from this one.
    Standby(usize),
    /// This node.
    Node(usize),
}

/// One thing that goes wrong. The last time in each is how long it lasts, or after how long the
/// process is started again.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// kill -9.
    Kill(Whom, True),
    /// Its host loses power.
    PowerLoss(Whom, True),
    /// Its frames vanish first, for the first time; then its host loses power.
    Vanish(Whom, True, True),
    /// SIGSTOP, and SIGCONT.
    Pause(Whom, True),
    /// Its host sleeps, payload and guard with it; its clock goes on.
    Suspend(Whom, True),
    /// SIGTERM.
    Stop(Whom, True),
    /// SIGTERM, and it is not started again before everything heals.
    Leave(Whom),
    /// kill -9 of all nodes at once.
    KillAll(True),
    /// Whatever happens there is handled up to so much late.
    Busy(Whom, True, True),
    /// The coordinator's payload ends by itself.
    PayloadCrash,
    /// The coordinator's payloads end by themselves, again and again.
    CrashLoop(True),
    /// The coordinator's payload takes nothing more.
    PayloadHang,
    /// The coordinator's payload ignores that it is told to stop.
    PayloadStubborn,
    /// The operator hands the line over.
    Handover,
    /// The node is in maintenance for so long, if somebody else can serve.
    Maintenance(Whom, True),
    /// The node's check command fails.
    Unfit(Whom, True),
    /// The node may never be coordinator from now on, or may again.
    Rebehave(Whom),
    /// The node signs with the other key, where there are two.
    RollKey(usize),
    /// Another process starts under the name of this node.
    Twin(usize, True),
    /// Nothing goes from the first host to the second. Host N is the terminal server.
    CutOneWay(usize, usize, True),
    /// No datagram goes from the first host to the second.
    Deaf(usize, usize, True),
    /// No heartbeat reaches anybody.
    AllDeaf(True),
    /// A node and the terminal server do not reach each other.
    CutFromServer(Whom, True),
    /// The hosts whose bit is set do not reach the others.
    Partition(u16, True),
    /// So many datagrams in 1000 are lost.
    Loss(u32, True),
    /// So many segments of connections in 1000 are lost, and sent again.
    Stalls(u32, True),
    /// Delays grow to so much.
    Slow(True, True),
    /// Recorded datagrams are sent again.
    Replay(u32),
    /// Datagrams of other groups, of wrong keys and of no sense.
    Strangers(True),
    /// Whoever connects finds one who has not the key.
    Impostor(Whom, True),
    /// The terminal server is stopped and goes on.
    PauseServer(True),
    /// kill -9 of the terminal server.
    KillServer(True),
    /// kill -9 of the terminal server, whose start number is put back by so many.
    RestoreServer(u32, True),
    /// SIGTERM of the terminal server.
    StopServer(True),
    /// The line's adapter is pulled.
    Unplug(True),
}

impl Fault {
    /// The word for it in the coverage table.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill(..) => "kill -9 of a node",
            Self::PowerLoss(..) => "power loss of a node",
            Self::Vanish(..) => "frames vanish, then power loss",
            Self::Pause(..) => "SIGSTOP, SIGCONT of a node",
            Self::Suspend(..) => "a node's host sleeps",
            Self::Stop(..) => "SIGTERM of a node",
            Self::Leave(_) => "a node leaves for good",
            Self::KillAll(_) => "kill -9 of all nodes",
            Self::Busy(..) => "busy host",
            Self::PayloadCrash => "payload crashes",
            Self::CrashLoop(_) => "payload crashes again and again",
            Self::PayloadHang => "payload hangs",
            Self::PayloadStubborn => "payload refuses to die",
            Self::Handover => "hand-over",
            Self::Maintenance(..) => "maintenance",
            Self::Unfit(..) => "check command fails",
            Self::Rebehave(_) => "membership changed",
            Self::RollKey(_) => "another key signs",
            Self::Twin(..) => "duplicate node name",
            Self::CutOneWay(..) => "one-way cut",
            Self::Deaf(..) => "datagrams cut in one direction",
            Self::AllDeaf(_) => "heartbeats cut among all",
            Self::CutFromServer(..) => "node cut from the terminal server",
            Self::Partition(..) => "partition",
            Self::Loss(1000, _) => "loss of all datagrams",
            Self::Loss(..) => "loss of datagrams",
            Self::Stalls(..) => "loss of segments",
            Self::Slow(..) => "slow network",
            Self::Replay(_) => "replayed datagrams",
            Self::Strangers(_) => "another group, other keys",
            Self::Impostor(..) => "false terminal server",
            Self::PauseServer(_) => "SIGSTOP, SIGCONT of the server",
            Self::KillServer(gone) if *gone > 900 * MS => "server killed, gone for long",
            Self::KillServer(_) => "kill -9 of the server",
            Self::RestoreServer(..) => "server's state put back",
            Self::StopServer(gone) if *gone > 900 * MS => "server stopped, gone for long",
            Self::StopServer(_) => "SIGTERM of the server",
            Self::Unplug(_) => "adapter pulled",
        }
    }

    /// Draws one of what may go wrong in this setting.
    pub fn draw(setting: &Setting, rng: &mut ChaCha8Rng) -> Self {
        match setting.kind {
            Kind::Rough => Self::draw_any(setting, rng),
            Kind::Quiet => Self::draw_harmless(setting, rng),
            Kind::Restarts if rng.random_bool(0.5) => {
                Self::KillServer(rng.random_range(MS..120 * MS))
            }
            Kind::Restarts => Self::StopServer(rng.random_range(MS..120 * MS)),
        }
    }

    fn draw_any(setting: &Setting, rng: &mut ChaCha8Rng) -> Self {
        let nodes = setting.nodes;
        let whom = match rng.random_range(0..10) {
            0..6 => Whom::Coordinator,
            _ => Whom::Node(rng.random_range(0..nodes)),
        };
        let short = rng.random_range(20 * MS..400 * MS);
        let long = rng.random_range(100 * MS..2500 * MS);
        let either = if rng.random_bool(0.5) { short } else { long };
        let gone = if rng.random_bool(0.8) { short } else { rng.random_range(900 * MS..3000 * MS) };
        let host = |rng: &mut ChaCha8Rng| rng.random_range(0..=nodes);
        match rng.random_range(0..45) {
            0..3 => Self::Kill(whom, long),
            3 => Self::PowerLoss(whom, long),
            4 => Self::Vanish(whom, short, long),
            5..8 => Self::Pause(whom, either),
            8 => Self::Suspend(whom, either),
            9 => Self::Stop(whom, long),
            10 => Self::Leave(whom),
            11 => Self::KillAll(short),
            12 | 13 => Self::Busy(whom, rng.random_range(5 * MS..100 * MS), long),
            14 => Self::PayloadCrash,
            15 => Self::CrashLoop(long),
            16 => Self::PayloadHang,
            17 => Self::PayloadStubborn,
            18 => Self::Handover,
            19 => Self::Twin(rng.random_range(0..nodes), long),
            20 => Self::CutOneWay(host(rng), host(rng), long),
            21 => Self::Deaf(host(rng), host(rng), long),
            22 => Self::CutFromServer(whom, long),
            23 => Self::Partition(rng.random(), long),
            24 | 25 => Self::Loss(draw_loss(rng), long),
            26 => Self::Stalls(rng.random_range(10..400), long),
            27 => Self::Slow(rng.random_range(5 * MS..150 * MS), long),
            28 | 29 => Self::Replay(rng.random_range(1..60)),
            30 => Self::Strangers(short),
            31 => Self::Impostor(whom, long),
            32..34 => Self::PauseServer(either),
            34 | 35 => Self::KillServer(gone),
            36 => Self::RestoreServer(rng.random_range(1..4), short),
            37 | 38 => Self::StopServer(gone),
            39 => Self::Maintenance(whom, long),
            40 | 41 => Self::Unfit(whom, long),
            42 => Self::Rebehave(whom),
            43 => Self::RollKey(rng.random_range(0..nodes)),
            _ => Self::Unplug(short),
        }
    }

    /// Faults that cost no failover, in any profile.
    fn draw_harmless(setting: &Setting, rng: &mut ChaCha8Rng) -> Self {
        let nodes = setting.nodes;
        let standby = Whom::Standby(rng.random_range(0..nodes));
        let short = rng.random_range(20 * MS..400 * MS);
        let long = rng.random_range(100 * MS..2500 * MS);
        let host = |rng: &mut ChaCha8Rng| rng.random_range(0..=nodes);
        // A renewal goes out every heartbeat. It and its answer may each be late by so much.
        let late = Setting::span(setting.profile.heartbeat).min(100 * MS);
        let lease = Setting::span(setting.profile.lease);
        match rng.random_range(0..19) {
            0..3 => Self::Loss(draw_loss(rng), long),
            3 => Self::AllDeaf(long),
            4 => Self::Deaf(host(rng), host(rng), long),
            5 | 6 => Self::Busy(Whom::Coordinator, late * 8 / 10, long),
            7 => Self::Strangers(short),
            8 => Self::Twin(rng.random_range(0..nodes), long),
            9 => Self::Unplug(short),
            10 => Self::Replay(rng.random_range(1..60)),
            11 => Self::Kill(standby, long),
            12 => Self::Pause(standby, long),
            13 => Self::Stop(standby, long),
            14 => Self::CutFromServer(standby, long),
            15 => Self::PauseServer(rng.random_range(0..lease / 3)),
            16 => Self::RollKey(rng.random_range(0..nodes)),
            17 => Self::Maintenance(standby, long),
            _ => Self::Slow(lease / 10, long),
        }
    }
}

/// 5 %, 20 %, all, or anything.
fn draw_loss(rng: &mut ChaCha8Rng) -> u32 {
    match rng.random_range(0..4) {
        0 => 50,
        1 => 200,
        2 => 1000,
        _ => rng.random_range(1..1000),
    }
}
