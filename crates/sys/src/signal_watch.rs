//! Being told when the far end moves a wire or the driver counts an error.

use std::fs::File;
use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::{Interval, MissedTickBehavior, interval};
use wire::Signals;

use crate::control::{Control, Kind, levels};
use crate::modem::{self, LineCounts, unsupported};

/// Tells of changes on the wires of one open port, for the loop that owns the port.
///
/// A helper thread waits in the driver (TIOCMIWAIT), or looks every [`POLL`] where the driver cannot
/// wait, so that no ioctl of a slow adapter holds up the loop. What the driver wakes nobody for
/// (overruns, line errors) is seen within [`RECHECK`]. A port without modem lines and counts, as a
/// pseudo terminal, has no thread and is never ready.
///
/// It shares the device with the port, so drop the two together. On drop the thread is ended and
/// the device let go of, at once and without waiting.
#[derive(Debug)]
pub struct SignalWatch {
    helper: Option<Helper>,
}

/// The wires of a line at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineState {
    /// Levels, without [`Signals::BREAK`]; `None` where there are no modem lines.
    pub signals: Option<Signals>,
    /// What the driver has counted, pulses too short to see among it; `None` where it does not.
    pub counts: Option<LineCounts>,
}

#[derive(Debug)]
struct Helper {
    states: Receiver<LineState>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Made by the first wait, which surely is inside a runtime.
    recheck: Option<Interval>,
}

#[derive(Debug)]
struct Shared {
    /// A duplicate of the port's. From the drop on it names /dev/null.
    device: OwnedFd,
    ended: AtomicBool,
}

impl Control {
    /// Begins to watch the port. Asks the driver once, so call it where the port was opened.
    ///
    /// # Errors
    /// The system has no thread or descriptor left. A closed port is no error: it is never ready.
    pub fn watch_signals(&self) -> io::Result<SignalWatch> {
        let Some(port) = self.shared().filter(|port| port.kind() != Kind::Master) else {
            return Ok(SignalWatch { helper: None });
        };
        let Ok(first @ LineState { signals, counts }) = look(port.fd()) else {
            return Ok(SignalWatch { helper: None });
        };
        if signals.is_none() && counts.is_none() {
            return Ok(SignalWatch { helper: None });
        }
        handle_signal()?;
        nowhere()?;
        let (sender, states) = channel(first);
        let device = port.fd().try_clone_to_owned()?;
        let shared = Arc::new(Shared { device, ended: AtomicBool::new(false) });
        let thread = Builder::new().name("modem lines".to_owned()).stack_size(STACK).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&sender)
        })?;
        Ok(SignalWatch { helper: Some(Helper { states, shared, thread, recheck: None }) })
    }
}

impl SignalWatch {
    /// Waits for a change and returns how it is then. Changes in quick succession may be told as
    /// one; the counts tell how many they were. Never ready if nothing can be known, nor when the
    /// device is gone, which reading tells. Cancel-safe.
    pub async fn changed(&mut self) -> LineState {
        let Some(helper) = &mut self.helper else { return pending().await };
        loop {
            let recheck = helper.recheck.get_or_insert_with(|| {
                let mut recheck = interval(RECHECK);
                recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
                recheck
            });
            tokio::select! {
                changed = helper.states.changed() => match changed {
                    Ok(()) => return *helper.states.borrow_and_update(),
                    Err(_) => return pending().await,
                },
                // A wire that moved while the thread looked and did not yet wait again wakes nobody.
                _ = recheck.tick() => helper.interrupt(),
            }
        }
    }

    /// How it was when last looked at, or `None` if nothing can be known.
    pub fn last(&self) -> Option<LineState> {
        self.helper.as_ref().map(|helper| *helper.states.borrow())
    }
}

impl Helper {
    /// Has the thread look at once.
    fn interrupt(&self) {
        // SAFETY: a thread whose handle exists was neither joined nor detached, so its id is valid.
        unsafe { libc::pthread_kill(self.thread.as_pthread_t(), SIGNAL) };
        self.thread.thread().unpark();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // First the descriptor, then the signal: a thread about to wait would miss a signal alone,
        // and wait on. Now its wait is either refused by /dev/null or, begun already, interrupted.
        if let Ok(nowhere) = nowhere() {
            let (from, to) = (nowhere.as_raw_fd(), self.shared.device.as_raw_fd());
            // SAFETY: both are open. `device` stays a valid descriptor, owned by `shared`, and
            // whoever uses it expects any ioctl to fail.
            unsafe { libc::dup3(from, to, libc::O_CLOEXEC) };
        }
        self.interrupt();
        // Not joined: a driver that cannot be interrupted would hold up the loop.
    }
}

impl Shared {
    fn run(&self, sender: &Sender<LineState>) {
        unblock_signal();
        let mut can_wait = true;
        while !self.ended.load(Ordering::Relaxed) {
            let Ok(state) = look(self.device.as_fd()) else { return };
            sender.send_if_modified(|last| {
                let news = state.without_traffic() != last.without_traffic();
                *last = state;
                news
            });
            if !can_wait {
                park_timeout(POLL);
                continue;
            }
            match modem::wait(self.device.as_raw_fd()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if unsupported(&error) => can_wait = false,
                Err(_) => return,
            }
        }
    }
}

impl LineState {
    fn without_traffic(self) -> Self {
        Self { counts: self.counts.map(LineCounts::without_traffic), ..self }
    }
}

fn look(fd: BorrowedFd<'_>) -> io::Result<LineState> {
    Ok(LineState { signals: known(levels(fd))?, counts: known(modem::counts(fd))? })
}

fn known<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An open /dev/null, kept so that ending a watch can never lack a descriptor.
fn nowhere() -> io::Result<&'static File> {
    static NOWHERE: OnceLock<File> = OnceLock::new();
    if let Some(file) = NOWHERE.get() {
        return Ok(file);
    }
    let file = File::open("/dev/null")?;
    Ok(NOWHERE.get_or_init(|| file))
}

/// Gives [`SIGNAL`] a handler that does nothing, unless somebody handles it already: only a handled
/// signal interrupts a wait.
fn handle_signal() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    static HANDLED: OnceLock<()> = OnceLock::new();
    if HANDLED.get().is_some() {
        return Ok(());
    }
    // SAFETY: all-zero is a valid `sigaction`: the default action, an empty mask, no flags. So
    // without SA_RESTART, which would begin the interrupted wait anew.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks, into a valid `sigaction`.
    if unsafe { libc::sigaction(SIGNAL, ptr::null(), &raw mut action) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if action.sa_sigaction == libc::SIG_DFL || action.sa_sigaction == libc::SIG_IGN {
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = 0;
        // SAFETY: the handler takes what a handler without SA_SIGINFO is given, and touches nothing.
        if unsafe { libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let _ = HANDLED.set(());
    Ok(())
}

/// A thread begins with the mask of the one that made it, which may block anything.
fn unblock_signal() {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is made empty before anything is added, and only this thread's mask changes.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// How often a driver that cannot wait is asked.
pub const POLL: Duration = Duration::from_millis(50);

/// How often a driver that can wait is asked nevertheless.
pub const RECHECK: Duration = Duration::from_secs(1);

/// Sent to the helper thread alone. By default it is ignored, so a program started by ours is not
/// ended by one, and nobody here asks the kernel for it.
const SIGNAL: libc::c_int = libc::SIGURG;

/// The thread calls a few ioctls. The default of 2 MiB for each of hundreds of lines is address
/// space for nothing.
const STACK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::SerialPort;
    use crate::pty::{Pty, Slave};
    use wire::LineSettings;

    #[tokio::test]
    async fn a_pseudo_terminal_has_no_thread_and_is_never_ready() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let far = SerialPort::open_tty(pty.slave_path(), &LineSettings::new(9600)).unwrap();
        for control in [far.control(), pty.control()] {
            let mut watch = control.watch_signals().unwrap();
            assert!(watch.helper.is_none());
            assert_eq!(watch.last(), None);
            let wait = tokio::time::timeout(Duration::from_millis(20), watch.changed());
            assert!(wait.await.is_err());
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_never_ready() {
        let pty = Pty::open(None, Slave::Held).unwrap();
        let control = pty.control();
        drop(pty);
        assert!(control.watch_signals().unwrap().helper.is_none());
    }
}
