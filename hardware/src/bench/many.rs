//! Many lines at once: at work, and idle.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use sys::boottime;
use sys::process::Waiter;

use super::client::connect_and_meet;
use super::contender::{Access, Contender};
use super::device::{Device, PATIENCE, read_some, write_some};
use super::figures::{Figures, Goal, Row, Unit};
use super::pattern::{Judge, Pattern};
use super::suite::Bench;
use crate::error::{Doing, Result};

/// 64 lines that are busy, 1,000 that are slow, 1,000 that are idle.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut rows = busy(bench)?;
    rows.extend(slow(bench)?);
    Ok(rows)
}

fn busy(bench: &mut Bench) -> Result<Vec<Row>> {
    let (lines, time) = if bench.quick { (4, QUICK) } else { (64, TIME) };
    let (present, absent) = bench.contenders(lines);
    let mut cpu = Figures::without(&absent);
    let rounds = if bench.quick { 1 } else { ROUNDS };
    for round in 0..rounds {
        for contender in &present {
            bench.progress(&format!("{lines} busy lines: {contender}, {} of {rounds}", round + 1));
            let load = Load::open(bench, *contender, lines, 115_200);
            let Some(mut load) = bench.spare(*contender, load)? else {
                cpu.give_up(*contender);
                continue;
            };
            cpu.push(*contender, load.work(&bench.pattern, time)?);
            load.judge(bench, &format!("{lines} busy lines"));
        }
    }
    let what = format!("{lines} lines at 115,200 bit/s both ways");
    let goal = Goal { at_most: Some(1.5), below_ser2net: true, ..Goal::default() };
    Ok(vec![Row::new(&what, Unit::Cpu, &cpu).goal(goal)])
}

fn slow(bench: &mut Bench) -> Result<Vec<Row>> {
    let (lines, time) = if bench.quick { (16, QUICK) } else { (1000, TIME) };
    let (present, absent) = bench.contenders(lines);
    let none = Figures::without(&absent);
    let [mut opening, mut served, mut cpu, mut idle, mut memory] = [(); 5].map(|()| none.clone());
    for contender in present {
        bench.progress(&format!("{lines} slow lines: {contender}"));
        let load = Load::open(bench, contender, lines, 9600);
        let Some(mut load) = bench.spare(contender, load)? else {
            for figures in [&mut opening, &mut served, &mut cpu, &mut idle, &mut memory] {
                figures.give_up(contender);
            }
            continue;
        };
        opening.push(contender, millis(load.server.opening));
        served.push(contender, millis(load.met));
        rest(SETTLE)?;
        let used = load.server.cpu();
        rest(time)?;
        let used = load.server.cpu() - used;
        idle.push(contender, used.as_secs_f64() / time.as_secs_f64() * 100.0);
        memory.push(contender, load.server.memory() as f64 / 1024.0 / lines as f64);
        cpu.push(contender, load.work(&bench.pattern, time)?);
        load.judge(bench, &format!("{lines} slow lines"));
    }
    let limit = |limit| Goal { limit: Some(limit), ..Goal::default() };
    let name = |what: &str| format!("{lines} {what}");
    let below_ser2net = Goal { below_ser2net: true, ..Goal::default() };
    Ok(vec![
        Row::new(&name("lines at 9,600 bit/s both ways"), Unit::Cpu, &cpu).goal(below_ser2net),
        Row::new(&name("idle connected lines"), Unit::Cpu, &idle).goal(limit(0.5)),
        Row::new("memory of an idle connected line", Unit::Kibibytes, &memory).goal(limit(48.0)),
        Row::new(&name("lines opened"), Unit::Millis, &opening).goal(limit(1000.0)),
        Row::new(&name("clients connected and answered"), Unit::Millis, &served),
    ])
}

/// A server with many lines, each with a client.
pub(crate) struct Load {
    // The server goes before its devices.
    pub(crate) server: super::server::Server,
    pub(crate) lanes: Vec<Lane>,
    /// The time in which each client connected and was answered, one after the other.
    met: Duration,
    baud: u32,
}

/// A line at work.
pub(crate) struct Lane {
    pub(crate) stream: TcpStream,
    pub(crate) device: Device,
    sent_to_line: u64,
    sent_to_client: u64,
    at_line: Judge,
    at_client: Judge,
}

impl Load {
    pub(crate) fn open(
        bench: &Bench,
        contender: Contender,
        lines: usize,
        baud: u32,
    ) -> Result<Self> {
        let devices = Device::several(lines)?;
        let borrowed: Vec<_> = devices.iter().collect();
        let server = bench.stage.start(contender, &borrowed, baud, Access::Raw)?;
        let begun = boottime();
        let lanes = devices.into_iter().zip(&server.addresses).map(|(device, address)| {
            let stream = connect_and_meet(*address, &device)?;
            stream.set_nonblocking(true).doing(|| "set up a connection".to_owned())?;
            Ok(Lane {
                stream,
                device,
                sent_to_line: 0,
                sent_to_client: 0,
                at_line: Judge::default(),
                at_client: Judge::default(),
            })
        });
        let lanes = lanes.collect::<Result<Vec<_>>>()?;
        Ok(Self { server, lanes, met: boottime() - begun, baud })
    }

    /// All lines at their speed for a while; the server's share of a processor in per cent.
    fn work(&mut self, pattern: &Pattern, time: Duration) -> Result<f64> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "wait".to_owned())?;
        for (lane, index) in self.lanes.iter().zip(0..) {
            for (fd, end) in [(lane.stream.as_fd(), 0), (lane.device.as_fd(), 1)] {
                let data = EventData::new_u64(index * 2 + end);
                epoll::add(&epoll, fd, data, EventFlags::IN).doing(|| "wait".to_owned())?;
            }
        }
        // Ten bits make a character. The lines' turns are spread over the time of a piece.
        let interval = Duration::from_secs(10) * PIECE as u32 / self.baud;
        let turn = interval / self.lanes.len() as u32;
        let (used, begun) = (self.server.cpu(), boottime());
        let (mut turns, mut share) = (0_usize, None);
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let passed = boottime() - begun;
            if passed < time {
                let due = (passed.as_nanos() / turn.as_nanos()) as usize;
                for number in turns..due {
                    let count = self.lanes.len();
                    self.lanes[number % count].send(pattern)?;
                }
                turns = turns.max(due);
            } else {
                // What is still on its way is waited for, and not charged.
                let used = || (self.server.cpu() - used).as_secs_f64() / passed.as_secs_f64();
                share.get_or_insert_with(used);
                if self.lanes.iter().all(Lane::is_complete) || passed > time + PATIENCE {
                    break;
                }
            }
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), Some(&TICK))
                .doing(|| "wait".to_owned())?;
            for event in &events {
                let (index, end) = (event.data.u64() / 2, event.data.u64() % 2);
                self.lanes[index as usize].receive(pattern, end == 1)?;
            }
        }
        Ok(share.unwrap_or_default() * 100.0)
    }

    fn judge(&self, bench: &mut Bench, what: &str) {
        for (lane, number) in self.lanes.iter().zip(1..) {
            let to_line = lane.at_line.verdict(lane.sent_to_line);
            let to_client = lane.at_client.verdict(lane.sent_to_client);
            for (way, verdict) in [("to line", to_line), ("to client", to_client)] {
                if let Some(verdict) = verdict {
                    let what = format!("{what}, line {number}, {way}: {verdict}");
                    bench.fault(self.server.contender, what);
                }
            }
        }
    }
}

impl Lane {
    /// A piece each way. Where there is no room it goes with a later one.
    fn send(&mut self, pattern: &Pattern) -> Result<()> {
        let piece = pattern.piece(self.sent_to_line, PIECE);
        self.sent_to_line += write_some(self.stream.as_fd(), piece, Duration::ZERO)? as u64;
        let piece = pattern.piece(self.sent_to_client, PIECE);
        self.sent_to_client += write_some(self.device.as_fd(), piece, Duration::ZERO)? as u64;
        Ok(())
    }

    fn receive(&mut self, pattern: &Pattern, at_line: bool) -> Result<()> {
        let mut buf = [0; 4096];
        let (fd, judge) = match at_line {
            true => (self.device.as_fd(), &mut self.at_line),
            false => (self.stream.as_fd(), &mut self.at_client),
        };
        let count = read_some(fd, &mut buf, Duration::ZERO)?;
        judge.check(pattern, &buf[..count]);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.at_line.got >= self.sent_to_line && self.at_client.got >= self.sent_to_client
    }
}

/// Does nothing for a while.
pub(crate) fn rest(time: Duration) -> Result<()> {
    let waiter = Waiter::new().doing(|| "wait".to_owned())?;
    waiter.wait(&[], Some(boottime() + time)).doing(|| "wait".to_owned())?;
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One write.
const PIECE: usize = 64;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(5);
const QUICK: Duration = Duration::from_millis(200);
/// After the start, before rest is measured.
const SETTLE: Duration = Duration::from_secs(1);
/// The longest that a piece can be late.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
const EVENTS: usize = 1024;
