//! Every message that the bounds allow, as proptest strategies.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::beacon::MAX_BEACON_LINES;
use wire::frame::{MAX_BREAK, MAX_INPUT, MAX_NOTE, MAX_OUTPUT};
use wire::heartbeat::MAX_MEMBERS;
use wire::settings::{MAX_BAUD, MIN_BAUD};
use wire::{
    Ack, Beacon, BootId, Claim, Datagram, Epoch, ErrorCode, EventKind, Fate, Flow, Frame,
    FreeCause, Grant, Heartbeat, Hello, Input, LastFrame, LineEvent, LineSettings, LineState,
    LineStatus, Name, Nonce, Observe, ObserveFrom, Observing, Output, Parity, PeerEcho, Refuse,
    RefuseWhy, RevokeWhy, Revoked, Role, SettingsChange, SignalChange, Signals, StopBits, Welcome,
    Written,
};

pub(crate) fn frame() -> BoxedStrategy<Frame> {
    prop_oneof![
        hello().prop_map(Frame::Hello),
        welcome().prop_map(Frame::Welcome),
        claim().prop_map(Frame::Claim),
        grant().prop_map(Frame::Grant),
        refuse().prop_map(Frame::Refuse),
        (any::<u64>(), bytes(1..=MAX_INPUT))
            .prop_map(|(offset, bytes)| Frame::Input(Input { offset, bytes })),
        (any::<u64>(), note()).prop_map(|(offset, note)| Frame::Ack(Ack { offset, note })),
        output().prop_map(Frame::Output),
        any::<[u64; 2]>()
            .prop_map(|[accepted, drained]| Frame::Written(Written { accepted, drained })),
        any::<u64>().prop_map(Frame::Renew),
        any::<u64>().prop_map(Frame::Renewed),
        event().prop_map(Frame::Event),
        option::of(name()).prop_map(Frame::Release),
        (epoch(), select(&REVOKES)).prop_map(|(epoch, why)| Frame::Revoked(Revoked { epoch, why })),
        observe().prop_map(Frame::Observe),
        observing().prop_map(Frame::Observing),
        settings_change().prop_map(Frame::Settings),
        settings().prop_map(|settings| Frame::Settings(settings.into())),
        any::<[Option<bool>; 3]>().prop_map(|[dtr, rts, brk]| Frame::SetSignals(SignalChange {
            dtr,
            rts,
            brk
        })),
        (0..=Signals::ALL.0).prop_map(|levels| Frame::Signals(Signals(levels))),
        (1..=MAX_BREAK).prop_map(Frame::Break),
        // At most 64 characters of at most 4 bytes keep within the bound of the text.
        (select(&ERRORS), "\\PC{0,64}").prop_map(|(code, text)| Frame::Error(code, text)),
    ]
    .boxed()
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    (any::<u8>(), any::<u8>(), nonce(), name()).prop_map(|(a, b, nonce, line)| Hello {
        min: a.min(b),
        max: a.max(b),
        nonce,
        line,
    })
}

pub(crate) fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<u8>(), nonce(), name()).prop_map(|(version, nonce, server)| Welcome {
        version,
        nonce,
        server,
    })
}

pub(crate) fn claim() -> impl Strategy<Value = Claim> {
    (name(), name(), boot(), epoch(), any::<u32>(), any::<u8>(), any::<[u8; 32]>()).prop_map(
        |(group, node, boot, seen, lease_ms, key_id, mac)| Claim {
            group,
            node,
            boot,
            seen,
            lease_ms,
            key_id,
            mac,
        },
    )
}

pub(crate) fn grant() -> impl Strategy<Value = Grant> {
    (epoch(), any::<u32>(), any::<[u64; 5]>(), last(), bytes(0..=MAX_NOTE), any::<[u8; 32]>())
        .prop_map(
            |(epoch, lease_ms, [incarnation, acked, delivered, end, position], last, note, mac)| {
                Grant {
                    epoch,
                    lease_ms,
                    incarnation,
                    acked,
                    delivered,
                    end,
                    position,
                    last,
                    note,
                    mac,
                }
            },
        )
}

pub(crate) fn refuse() -> impl Strategy<Value = Refuse> {
    (select(&REFUSALS), any::<u32>(), status(), any::<[u8; 32]>())
        .prop_map(|(why, retry_ms, status, mac)| Refuse { why, retry_ms, status, mac })
}

pub(crate) fn observe() -> impl Strategy<Value = Observe> {
    let from = prop_oneof![
        Just(ObserveFrom::Live),
        Just(ObserveFrom::Oldest),
        any::<[u64; 2]>().prop_map(|[incarnation, offset]| ObserveFrom::At { incarnation, offset }),
    ];
    (name(), name(), from, any::<u8>(), any::<[u8; 32]>())
        .prop_map(|(group, node, from, key_id, mac)| Observe { group, node, from, key_id, mac })
}

pub(crate) fn observing() -> impl Strategy<Value = Observing> {
    (any::<[u64; 3]>(), any::<[u8; 32]>()).prop_map(|([incarnation, offset, end], mac)| Observing {
        incarnation,
        offset,
        end,
        mac,
    })
}

/// What a line can be set to.
pub(crate) fn settings() -> impl Strategy<Value = LineSettings> {
    let all = (MIN_BAUD..=MAX_BAUD, 5..=8_u8, select(&PARITIES), select(&STOPS), select(&FLOWS));
    all.prop_map(|(baud, data_bits, parity, stop_bits, flow)| LineSettings {
        baud,
        data_bits,
        parity,
        stop_bits,
        flow,
    })
    .prop_filter("no UART can", |settings| settings.check().is_ok())
}

pub(crate) fn settings_change() -> impl Strategy<Value = SettingsChange> {
    let baud = option::of(1..=u32::MAX);
    let (parity, stop_bits) = (option::of(select(&PARITIES)), option::of(select(&STOPS)));
    (baud, option::of(5..=8_u8), parity, stop_bits, option::of(select(&FLOWS))).prop_map(
        |(baud, data_bits, parity, stop_bits, flow)| SettingsChange {
            baud,
            data_bits,
            parity,
            stop_bits,
            flow,
        },
    )
}

pub(crate) fn output() -> impl Strategy<Value = Output> {
    (any::<u64>(), option::of(any::<u64>()), note(), bytes(1..=MAX_OUTPUT))
        .prop_map(|(position, ack, note, bytes)| Output { position, ack, note, bytes })
}

pub(crate) fn datagram() -> BoxedStrategy<Datagram> {
    prop_oneof![heartbeat().prop_map(Datagram::Heartbeat), beacon().prop_map(Datagram::Beacon)]
        .boxed()
}

pub(crate) fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let who = (name(), name(), boot(), any::<u64>());
    let state = (select(&ROLES), any::<u8>(), any::<[bool; 8]>(), epoch(), any::<u64>());
    let speaks = prop_oneof![Just(1_u8), Just(2), 2..=u8::MAX];
    (who, state, speaks, vec(peer(), 0..=MAX_MEMBERS)).prop_map(
        |((group, node, boot, seq), (role, priority, flags, epoch, digest), speaks, peers)| {
            let [hears_beacons, connect_failed, held_down, leaving, new @ ..] = flags;
            let [observer, barred, maintenance, unhealthy] = new.map(|flag| flag && speaks > 1);
            Heartbeat {
                role,
                priority,
                hears_beacons,
                connect_failed,
                held_down,
                leaving,
                observer,
                barred,
                maintenance,
                unhealthy,
                speaks,
                epoch,
                digest,
                peers,
                ..Heartbeat::new(group, node, boot, seq)
            }
        },
    )
}

fn beacon() -> impl Strategy<Value = Beacon> {
    let lines = vec(status(), 0..=MAX_BEACON_LINES);
    (name(), name(), any::<u32>(), any::<u64>(), any::<u32>(), lines).prop_map(
        |(group, server, start, seq, interval_ms, lines)| Beacon {
            group,
            server,
            start,
            seq,
            interval_ms,
            lines,
        },
    )
}

fn peer() -> impl Strategy<Value = PeerEcho> {
    (name(), any::<u64>(), any::<u64>(), any::<u16>())
        .prop_map(|(node, challenge, echo, heard_ms)| PeerEcho { node, challenge, echo, heard_ms })
}

pub(crate) fn status() -> impl Strategy<Value = LineStatus> {
    let grant = (option::of(name()), epoch(), any::<u32>(), any::<u32>());
    (name(), any::<bool>(), select(&STATES), grant, option::of(name())).prop_map(
        |(line, up, state, (holder, epoch, lease_ms, left_ms), reserved_for)| LineStatus {
            line,
            up,
            state,
            holder,
            epoch,
            lease_ms,
            left_ms,
            reserved_for,
        },
    )
}

fn last() -> impl Strategy<Value = LastFrame> {
    let fate = prop_oneof![
        Just(Fate::None),
        Just(Fate::Finished),
        Just(Fate::Finishing),
        any::<u16>().prop_map(Fate::Cut),
    ];
    (epoch(), any::<u64>(), fate).prop_map(|(epoch, end, fate)| LastFrame { epoch, end, fate })
}

fn event() -> impl Strategy<Value = LineEvent> {
    let kind = prop_oneof![any::<u64>().prop_map(EventKind::Gap), select(&EVENTS)];
    (any::<u64>(), kind).prop_map(|(offset, kind)| LineEvent { offset, kind })
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9_][A-Za-z0-9._-]{0,31}".prop_map(|text| text.parse().expect("of the alphabet"))
}

fn note() -> impl Strategy<Value = Option<Bytes>> {
    option::of(bytes(0..=MAX_NOTE))
}

/// Mostly short, sometimes of any length up to the bound, and the bound itself.
fn bytes(len: std::ops::RangeInclusive<usize>) -> BoxedStrategy<Bytes> {
    let (least, most) = (*len.start(), *len.end());
    prop_oneof![
        8 => vec(any::<u8>(), least..=64),
        1 => vec(any::<u8>(), len),
        1 => any::<u8>().prop_map(move |byte| vec![byte; most]),
    ]
    .prop_map(Bytes::from)
    .boxed()
}

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<[u8; 16]>().prop_map(Nonce)
}

fn boot() -> impl Strategy<Value = BootId> {
    any::<[u8; 16]>().prop_map(BootId)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn select<T: Clone + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|i| all[i].clone())
}

const PARITIES: [Parity; 5] =
    [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];

const STOPS: [StopBits; 3] = [StopBits::One, StopBits::OnePointFive, StopBits::Two];

const FLOWS: [Flow; 3] = [Flow::None, Flow::RtsCts, Flow::XonXoff];

const ROLES: [Role; 3] = [Role::Standby, Role::Candidate, Role::Coordinator];

const STATES: [LineState; 6] = [
    LineState::Held,
    LineState::Free(FreeCause::Restarted),
    LineState::Free(FreeCause::Closed),
    LineState::Free(FreeCause::Lease),
    LineState::Free(FreeCause::Released),
    LineState::Free(FreeCause::Reserved),
];

const EVENTS: [EventKind; 6] = [
    EventKind::Break,
    EventKind::Parity,
    EventKind::Framing,
    EventKind::Overrun,
    EventKind::Down,
    EventKind::Up,
];

const REFUSALS: [RefuseWhy; 6] = [
    RefuseWhy::Held,
    RefuseWhy::Reserved,
    RefuseWhy::Group,
    RefuseWhy::Mac,
    RefuseWhy::Stopping,
    RefuseWhy::Storage,
];

const REVOKES: [RevokeWhy; 4] =
    [RevokeWhy::Expired, RevokeWhy::Replaced, RevokeWhy::Stopping, RevokeWhy::Misuse];

const ERRORS: [ErrorCode; 9] = [
    ErrorCode::BadFrame,
    ErrorCode::Version,
    ErrorCode::UnknownLine,
    ErrorCode::Unexpected,
    ErrorCode::Window,
    ErrorCode::Position,
    ErrorCode::Offset,
    ErrorCode::Slow,
    ErrorCode::Full,
];
