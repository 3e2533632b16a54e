//! Clients that take over from one another while the line is busy.

use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sys::boottime;
use wire::Key;

use super::bulk::BAUD;
use super::client::{Holder, connect};
use super::contender::{Access, Contender};
use super::device::{Device, PATIENCE, late, read_some, write_some};
use super::figures::{Figures, Goal, Row, Unit};
use super::many::rest;
use super::pattern::Pattern;
use super::suite::Bench;
use crate::error::{LabError, Result};

/// Swaps under load by the line protocol, where nothing may be lost or doubled, and on raw
/// connections, where it is counted.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let swaps = if bench.quick { 20 } else { SWAPS };
    let mut rows = by_line_protocol(bench, swaps)?;
    rows.extend(raw(bench, swaps)?);
    Ok(rows)
}

// ---- by the line protocol

/// What came out at the far end: records that each say which input they are the answer to.
#[derive(Debug, Default)]
struct Answers {
    /// Input before this was answered.
    end: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
}

fn by_line_protocol(bench: &mut Bench, swaps: usize) -> Result<Vec<Row>> {
    bench.progress(&format!("{swaps} swaps, line protocol"));
    let (device, answers) = (Device::open()?, Answers::default());
    let server = bench.stage.start(Contender::Ours, &[&device], BAUD, Access::Line)?;
    let (key, over) = (bench.stage.key()?, AtomicBool::new(false));
    let begun = boottime();
    let sent = thread::scope(|scope| {
        let far = scope.spawn(|| far_end(&device, &bench.pattern, &answers, &over));
        let swapped = swap(&bench.pattern, server.addresses[0], &key, swaps, &answers, &over);
        over.store(true, Ordering::Release);
        let sent = far.join().map_err(|_| LabError::Line("a thread has died".to_owned()));
        swapped.and(sent?)
    })?;
    let took = (boottime() - begun).as_secs_f64() * 1e3 / swaps as f64;
    let (end, lost) = (answers.end.into_inner(), answers.lost.into_inner());
    let (lost, doubled) = (lost + sent.saturating_sub(end), answers.doubled.into_inner());
    if lost + doubled > 0 {
        let what = format!("{swaps} swaps, line protocol: {lost} bytes lost, {doubled} doubled");
        bench.fault(Contender::Ours, what);
    }
    let rows = [
        (format!("lost in {swaps} swaps under load, line protocol"), Unit::Bytes, lost as f64),
        (format!("doubled in {swaps} swaps, line protocol"), Unit::Bytes, doubled as f64),
        ("time of a swap, line protocol".to_owned(), Unit::Millis, took),
    ];
    Ok(rows
        .map(|(what, unit, figure)| {
            let mut figures = Figures::default();
            figures.push(Contender::Ours, figure);
            let row = Row::new(&what, unit, &figures);
            match unit {
                Unit::Bytes => row.goal(Goal { limit: Some(0.0), ..Goal::default() }),
                _ => row,
            }
        })
        .into())
}

/// Holders that each answer a little and go without a word; the last one answers the rest.
fn swap(
    pattern: &Pattern,
    address: SocketAddr,
    key: &Key,
    swaps: usize,
    answers: &Answers,
    over: &AtomicBool,
) -> Result<()> {
    let mut draw = ChaCha8Rng::from_seed([3; 32]);
    for number in 1..=swaps {
        let mut holder = Holder::claim(address, key, "bench", number as u64)?;
        let mut at = holder.grant.acked;
        for _ in 0..draw.random_range(0..MOST_ANSWERS) {
            answer(pattern, &mut holder, &mut at)?;
        }
        match draw.random_range(0..2) {
            0 => holder.reset()?,
            _ => drop(holder),
        }
    }
    let mut holder = Holder::claim(address, key, "bench", 0)?;
    let (mut at, begun) = (holder.grant.acked, boottime());
    over.store(true, Ordering::Release);
    while at < answers.end.load(Ordering::Acquire) + 1 && boottime() - begun < PATIENCE {
        // The far end says what it has sent in all by sending no more.
        if !holder.has_input(QUIET)? {
            break;
        }
        answer(pattern, &mut holder, &mut at)?;
    }
    Ok(())
}

/// Answers the next input, in one step with its acknowledgement.
fn answer(pattern: &Pattern, holder: &mut Holder, at: &mut u64) -> Result<()> {
    let input = holder.input()?;
    let end = input.offset + input.bytes.len() as u64;
    if input.offset != *at || pattern.piece(*at, input.bytes.len()) != &input.bytes[..] {
        let what = format!("input at {} is not what stands at {at} on the line", input.offset);
        return Err(LabError::Line(what));
    }
    let record = [at.to_be_bytes(), end.to_be_bytes()].concat();
    *at = end;
    holder.output(&record, Some(end))
}

/// Sends the pattern, never far ahead of the answers, and judges them. What was sent in all.
fn far_end(
    device: &Device,
    pattern: &Pattern,
    answers: &Answers,
    over: &AtomicBool,
) -> Result<u64> {
    let (mut sent, mut inbox, mut buf) = (0, Vec::new(), [0; 4096]);
    let mut last = boottime();
    loop {
        let end = answers.end.load(Ordering::Acquire);
        let stopped = over.load(Ordering::Acquire);
        if stopped && (end >= sent || boottime() - last > PATIENCE) {
            return Ok(sent);
        }
        if !stopped && sent < end + AHEAD {
            let piece = pattern.piece(sent, PIECE);
            sent += write_some(device.as_fd(), piece, Duration::ZERO)? as u64;
        }
        let count = read_some(device.as_fd(), &mut buf, TURN)?;
        inbox.extend_from_slice(&buf[..count]);
        while let Some((record, rest)) = inbox.split_first_chunk::<16>() {
            let number = u128::from_be_bytes(*record);
            let (from, to) = ((number >> 64) as u64, number as u64);
            let end = answers.end.load(Ordering::Acquire);
            answers.lost.fetch_add(from.saturating_sub(end), Ordering::AcqRel);
            answers.doubled.fetch_add(end.saturating_sub(from), Ordering::AcqRel);
            answers.end.store(to.max(end), Ordering::Release);
            inbox = rest.to_vec();
            last = boottime();
        }
    }
}

// ---- raw

fn raw(bench: &Bench, swaps: usize) -> Result<Vec<Row>> {
    let (present, absent) = bench.contenders(1);
    let [mut lost, mut doubled] = [(); 2].map(|()| Figures::without(&absent));
    for contender in present {
        bench.progress(&format!("{swaps} swaps, raw: {contender}"));
        let device = Device::open()?;
        let server = bench.stage.start(contender, &[&device], BAUD, Access::Raw)?;
        let over = AtomicBool::new(false);
        let pattern = &bench.pattern;
        let counted = thread::scope(|scope| {
            scope.spawn(|| stream(&device, pattern, &over));
            let counted = count(pattern, server.addresses[0], swaps);
            over.store(true, Ordering::Release);
            counted
        });
        match bench.spare(contender, counted)? {
            Some((lack, surplus)) => {
                lost.push(contender, lack as f64);
                doubled.push(contender, surplus as f64);
            }
            None => [&mut lost, &mut doubled].into_iter().for_each(|f| f.give_up(contender)),
        }
    }
    Ok(vec![
        Row::new(&format!("lost in {swaps} swaps under load, raw"), Unit::Bytes, &lost),
        Row::new(&format!("doubled in {swaps} swaps, raw"), Unit::Bytes, &doubled),
    ])
}

/// Sends the pattern at an even speed.
fn stream(device: &Device, pattern: &Pattern, over: &AtomicBool) -> Result<()> {
    let mut sent = 0;
    while !over.load(Ordering::Acquire) {
        sent += write_some(device.as_fd(), pattern.piece(sent, PIECE), Duration::ZERO)? as u64;
        rest(TURN)?;
    }
    Ok(())
}

/// Clients that each read a little and go; how many bytes none of them saw, how many two did.
fn count(pattern: &Pattern, address: SocketAddr, swaps: usize) -> Result<(u64, u64)> {
    let (mut expected, mut lost, mut doubled, mut swapped) = (0, 0, 0, 0);
    let begun = boottime();
    while swapped < swaps {
        if boottime() - begun > PATIENCE * 6 {
            return Err(late("all swaps"));
        }
        let Ok(mut stream) = connect(address) else {
            rest(TURN)?;
            continue;
        };
        let (mut bytes, mut buf) = (Vec::new(), [0; 1024]);
        while bytes.len() < LITTLE {
            match stream.read(&mut buf) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&buf[..count]),
            }
        }
        // A refusal in words is none of the line's bytes.
        let Some(at) = pattern.find(expected, &bytes) else {
            rest(TURN)?;
            continue;
        };
        lost += at.saturating_sub(expected);
        doubled += expected.saturating_sub(at);
        expected = at + bytes.len() as u64;
        swapped += 1;
    }
    Ok((lost, doubled))
}

const SWAPS: usize = 1000;
/// A holder gives fewer answers than this.
const MOST_ANSWERS: u32 = 12;
/// The far end waits for answers before it sends more; far less than the terminal server keeps.
const AHEAD: u64 = 32 * 1024;
const PIECE: usize = 64;
const TURN: Duration = Duration::from_millis(1);
/// No input for so long is the end of it.
const QUIET: Duration = Duration::from_millis(500);
/// What a raw client reads before it goes.
const LITTLE: usize = 256;
