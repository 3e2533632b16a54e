//! What a server costs: processor time and memory of it and all that it has started.

use std::fs;
use std::time::Duration;

use sys::process::descendants;

/// Processor time, user and system, of a process and its children, ended ones included.
pub(crate) fn cpu(pid: u32) -> Duration {
    family(pid).map(cpu_of).sum()
}

/// Memory in bytes, with shared pages divided among those who share them.
pub(crate) fn memory(pid: u32) -> u64 {
    family(pid).map(memory_of).sum()
}

fn family(pid: u32) -> impl Iterator<Item = u32> {
    std::iter::once(pid).chain(descendants(pid))
}

fn cpu_of(pid: u32) -> Duration {
    let (own, children) = ticks(pid);
    let fine = nanoseconds(pid).map_or_else(|| of_ticks(own), Duration::from_nanos);
    // A thread that has ended is in the ticks alone.
    let own = if of_ticks(own) > fine + TICK * 2 { of_ticks(own) } else { fine };
    own + of_ticks(children)
}

/// By the scheduler's own account, of the threads that live.
fn nanoseconds(pid: u32) -> Option<u64> {
    let of_task = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    tasks.flatten().map(of_task).sum()
}

/// Of the process, and of its children that have ended, in hundredths of a second.
fn ticks(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses and may hold anything; utime is the 14th field.
    let behind = text.rsplit_once(") ").map_or("", |(_, behind)| behind);
    let fields: Vec<u64> =
        behind.split_whitespace().skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    match fields[..] {
        [user, system, children_user, children_system] => {
            (user + system, children_user + children_system)
        }
        _ => (0, 0),
    }
}

fn of_ticks(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn memory_of(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// `USER_HZ` is 100 on every Linux that the house runs on.
const TICK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let before = cpu(std::process::id());
        let mut sum = 0_u64;
        while cpu(std::process::id()) < before + TICK {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(memory(std::process::id()) > 100_000);
    }
}
