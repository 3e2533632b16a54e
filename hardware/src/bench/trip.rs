//! There and back: client, server, device, server, client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sys::boottime;

use super::bulk::{BAUD, Session};
use super::client::Holder;
use super::contender::{Access, Contender};
use super::device::{Device, read_some, write_all};
use super::figures::{Figures, Goal, Row, Spread, Unit};
use super::server::Server;
use super::suite::Bench;
use crate::error::{Doing, LabError, Result};

/// Round trips of 1 and 64 bytes, raw and by the line protocol.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let (sessions, none) = Session::all(bench)?;
    let device = Device::open()?;
    let server = bench.stage.start(Contender::Ours, &[&device], BAUD, Access::Line)?;
    let holder = Holder::claim(server.addresses[0], &bench.stage.key()?, "bench", 1)?;
    let mut line = Keyed { holder, _server: server };
    let mut sessions: Vec<_> = sessions.into_iter().map(Open::from).collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for device in sessions.iter().map(|open| &open.device).chain([&device]) {
            // Devices are borrowed by their echo, streams by their trips.
            let device = device.as_fd();
            let over = &over;
            scope.spawn(move || echo(device, over));
        }
        let ends = sessions.iter().map(|open| (open.server.contender, &open.stream));
        let rows = measure(bench, &ends.collect::<Vec<_>>(), &mut line, &none);
        over.store(true, Ordering::Release);
        rows
    })
    .inspect(|_| sessions.clear())
}

/// Gives back what comes, until it is over.
pub(crate) fn echo(device: std::os::fd::BorrowedFd<'_>, over: &AtomicBool) -> Result<()> {
    let mut buf = [0; 4096];
    while !over.load(Ordering::Acquire) {
        let count = read_some(device, &mut buf, LOOK)?;
        write_all(device, &buf[..count])?;
    }
    Ok(())
}

/// The middle of some round trips over a raw connection, in microseconds.
pub(crate) fn raw(mut stream: &TcpStream, len: usize, most: usize) -> Result<Option<f64>> {
    trips(len, most, |bytes| {
        let mut back = vec![0; bytes.len()];
        stream.write_all(bytes).doing(|| "write to a connection".to_owned())?;
        stream.read_exact(&mut back).doing(|| "read from a connection".to_owned())?;
        Ok(back)
    })
}

struct Open {
    server: Server,
    stream: TcpStream,
    device: Device,
}

impl From<Session> for Open {
    fn from(session: Session) -> Self {
        let Session { server, stream, device } = session;
        Self { server, stream, device }
    }
}

/// The holder of a line with a key.
struct Keyed {
    holder: Holder,
    _server: Server,
}

fn measure(
    bench: &Bench,
    ends: &[(Contender, &TcpStream)],
    line: &mut Keyed,
    none: &Figures,
) -> Result<Vec<Row>> {
    let (rounds, most) = if bench.quick { (2, 20) } else { (ROUNDS, TRIPS) };
    let mut rows = Vec::new();
    for len in [1, 64] {
        let (mut plain, mut keyed) = (none.clone(), Figures::default());
        for round in 0..rounds {
            bench.progress(&format!("round trip of {len}: {} of {rounds}", round + 1));
            for (contender, stream) in ends {
                let Some(micros) = raw(stream, len, most)? else { continue };
                plain.push(*contender, micros);
                if *contender == Contender::Floor {
                    keyed.push(*contender, micros);
                }
            }
            if let Some(micros) = by_frames(&mut line.holder, len, most)? {
                keyed.push(Contender::Ours, micros);
            }
        }
        let name = if len == 1 { "1 byte" } else { "64 bytes" };
        let goal = Goal { at_most: Some(1.3), below_ser2net: true, ..Goal::default() };
        rows.push(Row::new(&format!("round trip of {name}"), Unit::Micros, &plain).goal(goal));
        let goal = Goal { at_most: Some(1.6), ..Goal::default() };
        let what = format!("round trip of {name}, line protocol");
        rows.push(Row::new(&what, Unit::Micros, &keyed).goal(goal));
    }
    Ok(rows)
}

/// Each record acknowledges the input before it.
fn by_frames(holder: &mut Holder, len: usize, most: usize) -> Result<Option<f64>> {
    let mut acked = None;
    trips(len, most, |bytes| {
        holder.output(bytes, acked)?;
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            let input = holder.input()?;
            acked = Some(input.offset + input.bytes.len() as u64);
            back.extend_from_slice(&input.bytes);
        }
        Ok(back)
    })
}

fn trips(
    len: usize,
    most: usize,
    mut trip: impl FnMut(&[u8]) -> Result<Vec<u8>>,
) -> Result<Option<f64>> {
    let begun = boottime();
    let mut micros = Vec::with_capacity(most);
    for number in 0..most {
        let bytes = vec![number as u8; len];
        let sent = boottime();
        let back = trip(&bytes)?;
        micros.push((boottime() - sent).as_secs_f64() * 1e6);
        if back != bytes {
            return Err(LabError::Line(format!("{bytes:?} came back as {back:?}")));
        }
        if boottime() - begun > LONGEST_RUN {
            break;
        }
    }
    Ok(Spread::of(&micros).map(|spread| spread.median))
}

/// Pairs of floor and ours.
const ROUNDS: usize = 16;
const TRIPS: usize = 500;
/// Who takes milliseconds for a trip makes fewer.
const LONGEST_RUN: Duration = Duration::from_millis(300);
/// How late the end may be noticed.
const LOOK: Duration = Duration::from_millis(50);
