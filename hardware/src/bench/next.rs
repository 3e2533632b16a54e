//! The next client, when the one before has gone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sys::process::Signal;
use sys::{boottime, spawn};

use super::bulk::BAUD;
use super::client::reset;
use super::contender::Access;
use super::device::{Device, PATIENCE, late};
use super::figures::{Figures, Goal, Row, Unit};
use super::many::rest;
use super::suite::Bench;
use super::trip::echo;
use crate::error::{Doing, Result};

/// How a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Kill,
    Fin,
    Rst,
}

/// How long the next client waits for its first byte.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let rounds = if bench.quick { 2 } else { ROUNDS };
    let ways =
        [("kill -9", Farewell::Kill), ("closing", Farewell::Fin), ("a reset", Farewell::Rst)];
    let (present, absent) = bench.contenders(1);
    let mut figures = ways.map(|_| Figures::without(&absent));
    for contender in present {
        bench.progress(&format!("next client: {contender}"));
        let device = Device::open()?;
        let server = bench.stage.start(contender, &[&device], BAUD, Access::Raw)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| echo(device.as_fd(), &over));
            let (mut number, address) = (0, server.addresses[0]);
            let measured = ways.iter().zip(&mut figures).try_for_each(|((_, way), figures)| {
                let begun = boottime();
                for _ in (0..rounds).take_while(|_| boottime() - begun < LONGEST) {
                    let took = once(bench, address, *way, &mut number);
                    let Some(took) = bench.spare(contender, took)? else {
                        figures.give_up(contender);
                        break;
                    };
                    figures.push(contender, took.as_secs_f64() * 1e3);
                }
                Ok(())
            });
            over.store(true, Ordering::Release);
            measured
        })?;
    }
    let goal = Goal { limit: Some(2.0), ..Goal::default() };
    let row = |((name, _), figures): (&(&str, Farewell), &Figures)| {
        Row::new(&format!("next client served after {name}"), Unit::Millis, figures).goal(goal)
    };
    Ok(ways.iter().zip(&figures).map(row).collect())
}

/// One client has the line and goes; how long the next one takes from there to its first byte.
fn once(bench: &Bench, address: SocketAddr, way: Farewell, number: &mut u8) -> Result<Duration> {
    let gone = match way {
        Farewell::Kill => {
            let mut holder = Holder::start(bench, address)?;
            let now = boottime();
            holder.0.kill().doing(|| "kill a client".to_owned())?;
            now
        }
        Farewell::Fin | Farewell::Rst => {
            let stream = served(address, number)?;
            let now = boottime();
            match way {
                Farewell::Rst => reset(stream)?,
                _ => drop(stream),
            }
            now
        }
    };
    let next = served(address, number)?;
    let took = boottime() - gone;
    drop(next);
    // The one after it is not to be measured with this one's going.
    rest(BETWEEN)?;
    Ok(took)
}

/// A client that has had an answer, however often it had to come.
fn served(address: SocketAddr, number: &mut u8) -> Result<TcpStream> {
    let begun = boottime();
    while boottime() - begun < PATIENCE {
        // Of bytes that no greeting and no refusal holds.
        *number = (*number + 1) % 100;
        let byte = 0x80 + *number;
        match attempt(address, byte) {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => rest(AGAIN)?,
            Err(error) if is_refusal(error.kind()) => rest(AGAIN)?,
            Err(error) => return Err(error).doing(|| format!("be a client of {address}")),
        }
    }
    Err(late("the next client's first byte"))
}

/// Nothing if the connection was closed, or gave something else for too long.
fn attempt(address: SocketAddr, byte: u8) -> std::io::Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(&[byte])?;
    let mut answer = [0; 256];
    loop {
        match stream.read(&mut answer)? {
            0 => return Ok(None),
            count if answer[..count].contains(&byte) => return Ok(Some(stream)),
            _ => {}
        }
    }
}

fn is_refusal(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    // No answer: another process of socat's may have read the device.
    let silence = matches!(kind, WouldBlock | TimedOut);
    silence || matches!(kind, BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A client in a process of its own, to be killed.
struct Holder(Child);

impl Holder {
    fn start(bench: &Bench, address: SocketAddr) -> Result<Self> {
        let mut command = Command::new(bench.stage.lab());
        command.arg("holder").arg(address.to_string()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        spawn::die_with_parent(&mut command, Signal::KILL);
        let mut child = command.spawn().doing(|| "start a client".to_owned())?;
        let mut said = [0];
        let heard = child.stdout.as_mut().map(|out| out.read_exact(&mut said));
        let holder = Self(child);
        match heard {
            Some(Ok(())) => Ok(holder),
            _ => Err(late("a client's start")),
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process: has the line, says so on its standard output, and stays.
///
/// # Errors
/// There is no line to be had.
pub fn hold(address: SocketAddr) -> Result<()> {
    let mut stream = served(address, &mut 100)?;
    let said = std::io::stdout().write_all(b"\n");
    said.and_then(|()| std::io::stdout().flush()).doing(|| "say so".to_owned())?;
    stream.set_read_timeout(None).doing(|| "set up a connection".to_owned())?;
    let mut byte = [0];
    while stream.read(&mut byte).doing(|| "read from a connection".to_owned())? > 0 {}
    Ok(())
}

const ROUNDS: usize = 25;
/// Who takes seconds for a client serves fewer.
const LONGEST: Duration = Duration::from_secs(10);
/// A client that was refused comes again, as fast as makes sense.
const AGAIN: Duration = Duration::from_micros(200);
/// An answer that has not come by now comes no more.
const ANSWER: Duration = Duration::from_millis(500);
const BETWEEN: Duration = Duration::from_millis(20);
