//! What to do with arbitrary bytes: each step of a history is a kind, a number and perhaps more.

use std::time::Duration;

use bytes::Bytes;
use terminal_server::core::{ClientId, ClientKind};
use wire::{
    Ack, BootId, Claim, Epoch, EventKind, Frame, Hello, Nonce, Observe, ObserveFrom, Output,
    SettingsChange, SignalChange, Signals,
};

use crate::world::{World, key};

/// Any history of one line.
pub(crate) fn fuzz_line(data: &[u8]) {
    let mut world = World::new(data);
    let mut rest = data.get(3..).unwrap_or_default();
    while let [kind, number, more @ ..] = rest {
        // The number's upper bits say how much of what follows belongs to the step.
        let count = usize::from(number >> 3).min(more.len());
        let (content, after) = more.split_at(if takes_content(*kind) { count } else { 0 });
        step(&mut world, *kind % KINDS, *number, content);
        rest = after;
    }
    world.pass(Duration::from_secs(60));
    assert!(world.size() < 1 << 20, "{}", world.size());
}

/// How many kinds of step there are.
pub(crate) const KINDS: u8 = 32;

fn takes_content(kind: u8) -> bool {
    matches!(kind % KINDS, 7 | 11 | 12)
}

/// Somebody of each kind, one of them with the line.
pub(crate) fn people(world: &mut World) {
    let id = world.connect_line();
    hello(world, id);
    claim(world, id, 0);
    for kind in [ClientKind::Raw, ClientKind::Telnet] {
        world.connect(kind);
    }
    let id = world.connect_line();
    hello(world, id);
    observe(world, id);
}

/// One thing that happens, to a client that `number` chooses.
pub(crate) fn step(world: &mut World, kind: u8, number: u8, content: &[u8]) {
    let known: Vec<_> = world.clients.keys().copied().collect();
    let id = known.get(usize::from(number & 7) % known.len().max(1)).copied().unwrap_or(99);
    let holder = known.iter().copied().find(|id| world.line.is_holder(*id)).unwrap_or(id);
    let high = u64::from(number >> 3);
    match kind {
        0..=3 => come(world, kind, number),
        4 => hello(world, id),
        5 => claim(world, id, number >> 3),
        6 => observe(world, id),
        7 => frame(world, id, content),
        8 => output(world, holder, high as usize * 70 + 1),
        9 => {
            let seen = world.clients.get(&holder).map_or(0, |peer| peer.seen);
            let offset = if high == 31 { u64::MAX } else { seen };
            world.frame(holder, Frame::Ack(Ack { offset, note: note(number) }));
        }
        10 => world.frame(holder, Frame::Renew(high)),
        11 => world.bytes(if number & 1 == 0 { holder } else { id }, content),
        12 => world.input(content),
        13 => world.input(&[number; 700]),
        14..=17 => device(world, kind, number),
        18 => world.close(id),
        19..=24 => client(world, kind, id, holder, number),
        25 => drop(world.line.kick(id, world.now)),
        26 => telnet(world, if number & 1 == 0 { holder } else { id }, number),
        27 => world.line.handle_urgent(id),
        28 => {
            if let Some(id) = world.probes.pop_front() {
                world.line.handle_idle(id, world.now);
            }
        }
        29 => world.line.handle_stored(8 + u32::from(number), world.now),
        30 => world.line.handle_store_failed(world.now),
        // Rarely, since little happens after it.
        _ if number == 77 => world.line.handle_stop(world.now),
        _ => world.pass(Duration::from_micros(1 << (number % 26))),
    }
    world.settle();
}

fn come(world: &mut World, kind: u8, number: u8) {
    let from = if number & 8 == 0 { ObserveFrom::Oldest } else { ObserveFrom::Live };
    match kind {
        0 => drop(world.connect_line()),
        1 => drop(world.connect(ClientKind::Raw)),
        2 => drop(world.connect(ClientKind::Telnet)),
        _ => drop(world.connect(ClientKind::Console { hold: number & 1 == 0, from })),
    }
}

fn device(world: &mut World, kind: u8, number: u8) {
    match kind {
        14 => world.device(number & 1 == 0),
        15 => {
            let kinds = [EventKind::Break, EventKind::Parity, EventKind::Framing];
            let kind = kinds.get(usize::from(number)).copied().unwrap_or(EventKind::Overrun);
            world.line.handle_event(kind, world.now);
        }
        16 => {
            world.busy = number & 1 == 1;
            world.done();
        }
        _ => {
            world.tty_takes = if number & 1 == 0 { usize::MAX } else { usize::from(number) };
            world.line.handle_port_holds(usize::from(number & 0x70), world.now);
        }
    }
}

fn client(world: &mut World, kind: u8, id: ClientId, holder: ClientId, number: u8) {
    // Mostly the holder, sometimes somebody who must not.
    let who = if number & 0x80 == 0 { holder } else { id };
    match kind {
        19 => {
            if let Some(peer) = world.clients.get_mut(&id) {
                peer.blocked = number & 0x10 == 0;
            }
        }
        20 => {
            let baud = (number & 0x18 != 0).then_some(u32::from(number) * 300);
            let change = SettingsChange { baud, ..SettingsChange::default() };
            world.frame(who, Frame::Settings(change));
        }
        21 => {
            let wire = |n: u8| (number >> n & 1 == 1).then_some(number >> (n + 1) & 1 == 1);
            let change = SignalChange { dtr: wire(0), rts: wire(2), brk: wire(4) };
            world.frame(who, Frame::SetSignals(change));
        }
        22 => world.frame(who, Frame::Break(u32::from(number))),
        23 => {
            let keep_for = (number & 8 == 8).then(|| "n1".parse().unwrap());
            world.frame(who, Frame::Release(keep_for));
        }
        _ => world.line.handle_signals(signals(number), world.now),
    }
}

fn signals(number: u8) -> Signals {
    [Signals::CTS, Signals::DSR, Signals::DCD, Signals::RI][usize::from(number & 3)]
}

fn hello(world: &mut World, id: ClientId) {
    let nonce = Nonce([id as u8; 16]);
    world.frame(id, Frame::Hello(Hello { min: 1, max: 2, nonce, line: "pms".parse().unwrap() }));
}

/// By one of four nodes; some have seen an epoch that is too high, some have a wrong key.
fn claim(world: &mut World, id: ClientId, choice: u8) {
    let Some(transcript) = world.clients.get(&id).and_then(|peer| peer.transcript.clone()) else {
        return;
    };
    let seen =
        if choice & 0x1c == 0x1c { Epoch::new(7 + u32::from(choice), 1) } else { Epoch::NONE };
    let claim = Claim {
        group: "crew".parse().unwrap(),
        node: format!("n{}", choice & 3).parse().unwrap(),
        boot: BootId([choice & 7; 16]),
        seen,
        lease_ms: u32::from(choice) * 100,
        key_id: 0,
        mac: [0; 32],
    };
    let mut claim = transcript.sign_claim(&key(), claim);
    claim.mac[0] ^= u8::from(choice == 0x13);
    world.frame(id, Frame::Claim(claim));
}

fn observe(world: &mut World, id: ClientId) {
    let Some(transcript) = world.clients.get(&id).and_then(|peer| peer.transcript.clone()) else {
        return;
    };
    let observe = Observe {
        group: "crew".parse().unwrap(),
        node: "watcher".parse().unwrap(),
        from: ObserveFrom::Oldest,
        key_id: 0,
        mac: [0; 32],
    };
    world.frame(id, Frame::Observe(transcript.sign_observe(&key(), observe)));
}

/// Any frame at all, or none.
fn frame(world: &mut World, id: ClientId, content: &[u8]) {
    match Frame::decode(Bytes::copy_from_slice(content)) {
        Ok(frame) => world.frame(id, frame),
        Err(error) => {
            if let Some(peer) = world.clients.get_mut(&id).filter(|peer| !peer.deaf) {
                peer.deaf = true;
                world.line.handle_bad_frame(id, error, world.now);
            }
        }
    }
}

/// The next record of whoever has the line, or what would be it.
fn output(world: &mut World, id: ClientId, count: usize) {
    let position = world.line.snapshot().position;
    let bytes = vec![id as u8; count.min(2048)].into();
    let seen = world.clients.get(&id).map_or(0, |peer| peer.seen);
    let ack = count.is_multiple_of(3).then_some(seen);
    world.frame(id, Frame::Output(Output { position, ack, note: note(count as u8), bytes }));
}

fn note(number: u8) -> Option<Bytes> {
    (number & 0x20 == 0x20).then(|| vec![number; 1000].into())
}

/// What telnet clients say: offers, questions, orders, and data.
fn telnet(world: &mut World, id: ClientId, number: u8) {
    let value = number & 0x0f;
    let said: &[u8] = match number >> 4 {
        0 => &[255, 251, 44],
        1 => &[255, 252, 44],
        2 => &[255, 253, value],
        3 => &[255, 254, value],
        4 => &[255, 250, 44, 1, 0, 0, 0, 0, 255, 240],
        5 => &[255, 250, 44, 1, 0, 0, value, 128, 255, 240],
        6 => &[255, 250, 44, 5, value, 255, 240],
        7 => &[255, 250, 44, 12, value, 255, 240],
        8 => &[255, 250, 44, 8, 255, 240],
        9 => &[255, 250, 44, 9, 255, 240],
        10 => &[255, 250, 44, value],
        11 => &[255, 243],
        12 => &[255, 246],
        13 => &[255, 242],
        14 => &[255],
        _ => &[value; 300],
    };
    world.bytes(id, said);
}
