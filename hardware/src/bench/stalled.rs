//! Clients that never read, and a client beside them.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sys::boottime;

use super::bulk::BAUD;
use super::device::write_some;
use super::figures::{Figures, Goal, Row, Spread, Unit};
use super::many::{Lane, Load};
use super::suite::Bench;
use super::trip;
use crate::error::{Doing, Result};

/// The round trip on one line before and after the clients of all the others have stalled.
pub(crate) fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let (stalled, rounds, most) = if bench.quick { (4, 1, 20) } else { (100, ROUNDS, TRIPS) };
    let (present, absent) = bench.contenders(stalled + 1);
    let none = Figures::without(&absent);
    let [mut before, mut after, mut slower] = [(); 3].map(|()| none.clone());
    for contender in present {
        bench.progress(&format!("{stalled} stalled clients: {contender}"));
        let load = Load::open(bench, contender, stalled + 1, BAUD);
        let Some(load) = bench.spare(contender, load)? else {
            [&mut before, &mut after, &mut slower].into_iter().for_each(|f| f.give_up(contender));
            continue;
        };
        let Some((free, lanes)) = load.lanes.split_last() else { continue };
        free.stream.set_nonblocking(false).doing(|| "set up a connection".to_owned())?;
        let over = AtomicBool::new(false);
        let (idle, stalled) = thread::scope(|scope| {
            scope.spawn(|| trip::echo(free.device.as_fd(), &over));
            let trips = || {
                let trips = (0..rounds).map(|_| trip::raw(&free.stream, 1, most));
                trips.filter_map(Result::transpose).collect::<Result<Vec<_>>>()
            };
            let measured = trips().and_then(|idle| {
                fill(lanes, bench.pattern.piece(0, 4096))?;
                Ok((idle, trips()?))
            });
            over.store(true, Ordering::Release);
            measured
        })?;
        idle.iter().for_each(|micros| before.push(contender, *micros));
        stalled.iter().for_each(|micros| after.push(contender, *micros));
        if let (Some(idle), Some(stalled)) = (Spread::of(&idle), Spread::of(&stalled)) {
            slower.push(contender, stalled.median / idle.median);
        }
    }
    let beside = format!("round trip beside {stalled} clients");
    Ok(vec![
        Row::new(&format!("{beside} that are idle"), Unit::Micros, &before),
        Row::new(&format!("{beside} that are stalled"), Unit::Micros, &after),
        Row::new("the second of these as a multiple of the first", Unit::Times, &slower)
            .goal(Goal { limit: Some(1.3), ..Goal::default() }),
    ])
}

/// Writes until nothing goes into any of the lines any more, or long enough.
fn fill(lanes: &[Lane], piece: &[u8]) -> Result<()> {
    let begun = boottime();
    while boottime() - begun < LONGEST_FILL {
        let mut filled = 0;
        for lane in lanes {
            filled += write_some(lane.device.as_fd(), piece, Duration::ZERO)?;
        }
        if filled == 0 {
            break;
        }
    }
    Ok(())
}

const ROUNDS: usize = 8;
const TRIPS: usize = 300;
/// A server that drops what nobody takes fills never.
const LONGEST_FILL: Duration = Duration::from_secs(10);
