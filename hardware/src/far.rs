//! The far end: the cable, and the billing system that hangs on it.
//!
//! Both run on a thread of their own, so that nothing the lab does delays a character.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use billing_sim::{EVENT_QUEUE, Event, Options, Report, Shutdown, exchange};
use rustix::fs::{Mode, OFlags};
use sys::{Cable, CableCounters, CablePace, LineSettings, PtyError, SerialPort, boottime};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::accounts::far::{self as accounts, Books};
use crate::deed::Deed;
use crate::error::{Doing, LabError, Result};
use crate::process::Process;
use crate::settings::Settings;
use crate::timeline::{Entry, Source, Timeline, What};

/// What joins the terminal server to the billing system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wire {
    /// A pair of pseudo terminals of the lab's own, paced at the line's character time.
    #[default]
    Cable,
    /// A pair of pseudo terminals that socat joins. They pass bytes at once; both ends pace.
    Socat,
    /// Two real ports with a null-modem cable between them.
    Serial {
        /// The terminal server's.
        near: PathBuf,
        /// The billing system's.
        far: PathBuf,
    },
}

impl Wire {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cable => "cable",
            Self::Socat => "socat",
            Self::Serial { .. } => "serial",
        }
    }
}

/// The far end, running.
#[derive(Debug)]
pub(crate) struct FarEnd {
    /// The port for the terminal server.
    near: PathBuf,
    /// Of the lab's own cable.
    counters: Option<Arc<CableCounters>>,
    thread: Option<JoinHandle<()>>,
    begin: Option<oneshot::Sender<Begin>>,
    report: Option<oneshot::Receiver<Result<Verdict>>>,
    /// What the billing system of a dialect waits for at its end.
    books: Option<oneshot::Sender<Books>>,
    shutdown: Shutdown,
    unplug: CancellationToken,
    _socat: Option<Socat>,
}

#[derive(Debug)]
enum Begin {
    Numbered { options: Options, events: mpsc::Sender<Event> },
    Dialect(Box<accounts::Begin>),
}

/// What a billing system has to say at its end.
#[derive(Debug)]
pub(crate) enum Verdict {
    Numbered(Report),
    Dialect(exchange::report::Report),
}

/// What is known of the wire once it lies: its counters, if it is the lab's own.
type Laid = Option<Arc<CableCounters>>;

/// What the thread is given.
struct Job {
    far: PathBuf,
    line: LineSettings,
    begin: oneshot::Receiver<Begin>,
    report: oneshot::Sender<Result<Verdict>>,
    shutdown: Shutdown,
    unplug: CancellationToken,
}

impl FarEnd {
    /// Lays the wire; nothing is sent yet. Links and logs go into `dir`.
    pub(crate) async fn lay(settings: &Settings, dir: &Path, timeline: &Timeline) -> Result<Self> {
        let Settings { wire, line, overruns, .. } = settings;
        let (near, far) = match wire {
            Wire::Serial { near, far } => (near.clone(), far.clone()),
            Wire::Cable | Wire::Socat => (dir.join(NEAR), dir.join(FAR)),
        };
        let socat = match wire {
            Wire::Socat => Some(Socat::start(&near, &far, dir, timeline).await?),
            Wire::Cable | Wire::Serial { .. } => None,
        };
        let (begin, begins) = oneshot::channel();
        let (reports, report) = oneshot::channel();
        let (shutdown, unplug) = (Shutdown::default(), CancellationToken::new());
        let job = Job {
            far,
            line: *line,
            begin: begins,
            report: reports,
            shutdown: shutdown.clone(),
            unplug: unplug.clone(),
        };
        let cable = (*wire == Wire::Cable).then(|| (near.clone(), *overruns));
        let (laid, is_laid) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("far end".to_owned())
            .spawn(move || work(job, cable, laid))
            .doing(|| "start a thread".to_owned())?;
        let mut far_end = Self {
            near,
            counters: None,
            thread: Some(thread),
            begin: Some(begin),
            report: Some(report),
            books: None,
            shutdown,
            unplug,
            _socat: socat,
        };
        let died = || LabError::Line("the cable's thread has died".to_owned());
        far_end.counters = is_laid.await.map_err(|_| died())??;
        Ok(far_end)
    }

    /// The port for the terminal server.
    pub(crate) fn near(&self) -> &Path {
        &self.near
    }

    /// Bytes that were lost on the lab's own cable.
    pub(crate) fn overrun(&self) -> u64 {
        self.counters.as_ref().map_or(0, |counters| counters.lost())
    }

    /// The billing system begins to send; what happens goes into the timeline.
    pub(crate) fn begin(&mut self, options: Options, timeline: &Timeline) -> Result<()> {
        let begin = self.take_begin()?;
        let (events, mut happening) = mpsc::channel(EVENT_QUEUE);
        let timeline = timeline.clone();
        tokio::spawn(async move {
            while let Some(event) = happening.recv().await {
                timeline.push(Entry {
                    at: time_of(&event),
                    source: Source::Billing,
                    what: What::Billing(event),
                });
            }
        });
        // A thread that has died shows in the report.
        let _ = begin.send(Begin::Numbered { options, events });
        Ok(())
    }

    /// Likewise, in a dialect. What comes back is at its end when the port is open.
    pub(crate) fn begin_dialect(
        &mut self,
        settings: &Settings,
        accounts: &Accounts,
        timeline: &Timeline,
    ) -> Result<std_mpsc::Receiver<()>> {
        let begin = self.take_begin()?;
        let (opening, opened) = std_mpsc::channel();
        let (entries, mut happening) = mpsc::unbounded_channel();
        let (books, wanted) = oneshot::channel();
        let timeline = timeline.clone();
        tokio::spawn(async move {
            while let Some(exchange::entry::Entry { at, what }) = happening.recv().await {
                timeline.push(Entry { at, source: Source::Billing, what: What::Exchange(what) });
            }
        });
        let job = accounts::Begin::new(settings, accounts, entries, opening, wanted)?;
        self.books = Some(books);
        let _ = begin.send(Begin::Dialect(Box::new(job)));
        Ok(opened)
    }

    fn take_begin(&mut self) -> Result<oneshot::Sender<Begin>> {
        let begin = self.begin.take();
        begin.ok_or_else(|| LabError::Misuse("the billing system runs".to_owned()))
    }

    /// What the billing system of a dialect is to compare its view with.
    pub(crate) fn hand_over(&mut self, books: Books) {
        if let Some(sender) = self.books.take() {
            // A thread that has died shows in the report.
            let _ = sender.send(books);
        }
    }

    /// The billing system sends no more, waits for late answers and reports.
    pub(crate) async fn finish(&mut self) -> Result<Verdict> {
        self.shutdown.stop.cancel();
        let report = self.report.take();
        let report = report.ok_or_else(|| LabError::Misuse("there was a report".to_owned()))?;
        let died = || LabError::Line("the billing system has died".to_owned());
        report.await.map_err(|_| died())?
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.begin = None;
        self.books = None;
        self.shutdown.abort.cancel();
        self.unplug.cancel();
        if let Some(thread) = self.thread.take() {
            // It ends at once, and its panic was shown when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn work(job: Job, cable: Option<(PathBuf, bool)>, laid: oneshot::Sender<Result<Laid>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = laid.send(Err(LabError::Io { doing: "make a runtime".to_owned(), source }));
            return;
        }
    };
    runtime.block_on(async {
        let pace = CablePace { a_to_b: Some(job.line), b_to_a: Some(job.line) };
        let cable = cable.map(|(near, overruns)| {
            let cable = Cable::open(Some(&near), Some(&job.far), pace)?;
            Ok::<_, PtyError>(if overruns { cable.without_flow_control() } else { cable })
        });
        let cable = match cable.transpose() {
            Ok(cable) => cable,
            Err(error) => return drop(laid.send(Err(LabError::Line(error.to_string())))),
        };
        let (unplug, counters) = (job.unplug.clone(), cable.as_ref().map(Cable::counters));
        // Before anybody hears that the wire is laid, so that its first byte finds it there.
        let relay = async move {
            match cable {
                Some(mut cable) => cable.run(unplug.cancelled()).await,
                None => Ok(()),
            }
        };
        let _ = laid.send(Ok(counters));
        let (relayed, ()) = tokio::join!(relay, bill(job));
        if let Err(error) = relayed {
            eprintln!("lab: the cable failed: {error}");
        }
    });
}

/// Waits to be told to begin, then is the billing system.
async fn bill(job: Job) {
    let Ok(begin) = job.begin.await else { return };
    let report = match begin {
        Begin::Dialect(begin) => {
            accounts::bill(*begin, job.far, job.shutdown).await.map(Verdict::Dialect)
        }
        Begin::Numbered { options, events } => match SerialPort::open_tty(&job.far, &job.line) {
            Ok(port) => billing_sim::run(options, port, job.shutdown, Some(events))
                .await
                .map(Verdict::Numbered)
                .doing(|| "run the billing system".to_owned()),
            Err(error) => Err(LabError::Line(error.to_string())),
        },
    };
    if let Err(error) = &report {
        // Whoever waits for something else meanwhile ought to know.
        eprintln!("lab: the billing system failed: {error}");
    }
    // Who waits for it may have given up.
    let _ = job.report.send(report);
}

/// socat, and the end of its that must stay open while the terminal server restarts: it would take
/// the closing for the end of all.
#[derive(Debug)]
struct Socat {
    _process: Process,
    _held: OwnedFd,
}

impl Socat {
    async fn start(near: &Path, far: &Path, dir: &Path, timeline: &Timeline) -> Result<Self> {
        let end = |link: &Path| format!("pty,raw,echo=0,link={}", link.display());
        let mut command = Command::new("socat");
        command.args([end(near), end(far)]);
        let process = Process::start("socat", command, dir.join("socat.log"), |_| {})?;
        timeline.did(Deed::started(&process));
        let begun = boottime();
        while !(near.exists() && far.exists()) {
            if boottime() - begun > SOCAT_PATIENCE {
                let what = "socat's pair of pseudo terminals".to_owned();
                return Err(LabError::Late { what, within: SOCAT_PATIENCE });
            }
            tokio::time::sleep(SOCAT_LOOK).await;
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let held = rustix::fs::open(near, flags, Mode::empty());
        let held = held.doing(|| format!("open {}", near.display()))?;
        Ok(Self { _process: process, _held: held })
    }
}

/// When a billing event happened.
pub(crate) fn time_of(event: &Event) -> Duration {
    match event {
        Event::Started { at }
        | Event::Sent { at, .. }
        | Event::Answered { at, .. }
        | Event::Settling { at }
        | Event::Ended { at, .. } => *at,
        Event::Found(finding) => finding.at,
        Event::Unserved(span) => span.to,
    }
}

/// The links' names.
const NEAR: &str = "line";
const FAR: &str = "billing";
/// It takes some milliseconds.
const SOCAT_PATIENCE: Duration = Duration::from_secs(5);
const SOCAT_LOOK: Duration = Duration::from_millis(5);
