//! As much as a line carries, each way.

use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sys::boottime;

use super::client::connect_and_meet;
use super::contender::{Access, Contender};
use super::device::{Device, PATIENCE, read_some, write_some};
use super::figures::{Figures, Goal, Row, Unit};
use super::pattern::{Judge, Pattern};
use super::server::Server;
use super::suite::Bench;
use crate::error::{Doing, LabError, Result};

/// A server with one line and one client that has it.
pub(crate) struct Session {
    // The server goes before its device.
    pub(crate) server: Server,
    pub(crate) stream: TcpStream,
    pub(crate) device: Device,
}

impl Session {
    /// One for each contender that can serve a line; the others, with the reason.
    pub(crate) fn all(bench: &Bench) -> Result<(Vec<Self>, Figures)> {
        let (present, absent) = bench.contenders(1);
        let sessions = present.into_iter().map(|contender| Self::open(bench, contender));
        Ok((sessions.collect::<Result<_>>()?, Figures::without(&absent)))
    }

    fn open(bench: &Bench, contender: Contender) -> Result<Self> {
        let device = Device::open()?;
        let server = bench.stage.start(contender, &[&device], BAUD, Access::Raw)?;
        let stream = connect_and_meet(server.addresses[0], &device)?;
        Ok(Self { server, stream, device })
    }
}

/// Bulk through one line, each way.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let (rounds, time) = match bench.quick {
        true => (1, Duration::from_millis(100)),
        false => (ROUNDS, TIME),
    };
    let (sessions, none) = Session::all(bench)?;
    for session in &sessions {
        session.stream.set_nonblocking(true).doing(|| "set up a connection".to_owned())?;
    }
    let mut rows = Vec::new();
    for (way, to_line) in [("client to line", true), ("line to client", false)] {
        let (mut speed, mut cost) = (none.clone(), none.clone());
        for round in 0..rounds {
            bench.progress(&format!("bulk, {way}: {} of {rounds}", round + 1));
            for session in &sessions {
                let flow = Flow::of(session, &bench.pattern, to_line);
                let used = session.server.cpu();
                let (sent, judge, took) = flow.run(time)?;
                let used = session.server.cpu() - used;
                let contender = session.server.contender;
                speed.push(contender, sent as f64 / took.as_secs_f64() / 1e6);
                cost.push(contender, used.as_secs_f64() / (sent as f64 / 1e9));
                if let Some(verdict) = judge.verdict(sent) {
                    bench.fault(contender, format!("bulk, {way}: {verdict}"));
                }
            }
        }
        let goal = Goal { at_least: Some(0.8), ..Goal::default() };
        rows.push(Row::new(&format!("bulk, {way}"), Unit::Throughput, &speed).goal(goal));
        let goal = Goal { at_most: Some(2.0), below_ser2net: true, ..Goal::default() };
        rows.push(Row::new(&format!("cost of it, {way}"), Unit::CpuPerGigabyte, &cost).goal(goal));
    }
    Ok(rows)
}

/// Bytes that go one way for a while.
struct Flow<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    pattern: &'a Pattern,
}

impl<'a> Flow<'a> {
    fn of(session: &'a Session, pattern: &'a Pattern, to_line: bool) -> Self {
        let (client, line) = (session.stream.as_fd(), session.device.as_fd());
        match to_line {
            true => Self { from: client, to: line, pattern },
            false => Self { from: line, to: client, pattern },
        }
    }

    /// How much was sent, what arrived, and how long the first to the last byte took.
    fn run(&self, time: Duration) -> Result<(u64, Judge, Duration)> {
        let total = AtomicU64::new(UNKNOWN);
        let begun = boottime();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let sent = self.send_until(begun + time);
                total.store(*sent.as_ref().unwrap_or(&0), Ordering::Release);
                sent
            });
            let judge = self.receive(&total);
            let took = boottime() - begun;
            let sent = writer.join();
            let sent = sent.map_err(|_| LabError::Line("a thread has died".to_owned()))??;
            Ok((sent, judge?, took))
        })
    }

    fn send_until(&self, end: Duration) -> Result<u64> {
        let mut sent = 0;
        while boottime() < end {
            let piece = self.pattern.piece(sent, WRITE);
            sent += write_some(self.from, piece, LOOK)? as u64;
        }
        Ok(sent)
    }

    fn receive(&self, total: &AtomicU64) -> Result<Judge> {
        let (mut judge, mut buf) = (Judge::default(), vec![0; READ]);
        let mut last = boottime();
        while judge.got < total.load(Ordering::Acquire) && boottime() - last < PATIENCE {
            let count = read_some(self.to, &mut buf, LOOK)?;
            if count > 0 {
                judge.check(self.pattern, &buf[..count]);
                last = boottime();
            }
        }
        Ok(judge)
    }
}

/// The fastest that everybody knows; no server waits for characters at it.
pub(crate) const BAUD: u32 = 115_200;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_millis(1500);
/// Not known yet.
const UNKNOWN: u64 = u64::MAX;
/// As much as fits a socket's buffer easily.
const WRITE: usize = 32 * 1024;
const READ: usize = 64 * 1024;
/// How long nothing can happen before a flag is looked at.
const LOOK: Duration = Duration::from_millis(20);
