//! Log lines on standard error.
//!
//! Every line carries `CLOCK_BOOTTIME` in seconds to the microsecond, so that the lines of several
//! processes of one host can be laid side by side whatever the wall clock does.
//!
//! Where standard error would block, lines are dropped and `log-dropped` says how many.

mod sink;

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use sys::boottime;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use self::sink::Sink;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One object per line for programs: `boottime` (a number, seconds), `level`, `target`,
    /// `fields` with `message` among them, and `span` if there is one.
    Json,
}

/// Why logging could not be set up. Nothing is logged then.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter `{filter}`: {reason} (try `info` or `warn,failover_node=debug`)")]
    Filter {
        /// As given.
        filter: String,
        /// The part at fault.
        reason: String,
    },
    /// This process logs already.
    #[error("logging was set up twice")]
    Twice,
}

/// Logs to standard error from now on. With no `filter`, the environment's `RUST_LOG` decides and
/// after that [`DEFAULT_FILTER`].
///
/// # Errors
/// See [`LogError`].
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LogError> {
    let filter = filter.map_or_else(usual_filter, str::to_owned);
    let look = Look { colour: io::stderr().is_terminal(), stamp: !is_journal() };
    let notice = match format {
        LogFormat::Json => dropped_json,
        LogFormat::Text => dropped_text,
    };
    let (subscriber, change) = subscriber(format, &filter, look, Sink::stderr(notice))?;
    subscriber.try_init().map_err(|_| LogError::Twice)?;
    CHANGE.set(change).map_err(|_| LogError::Twice)
}

/// Goes over to another filter. `None`: the one of [`init`] without a filter.
///
/// # Errors
/// It is none; the old one stays.
pub fn change(filter: Option<&str>) -> Result<(), LogError> {
    let filter = checked(&filter.map_or_else(usual_filter, str::to_owned))?;
    if let Some(change) = CHANGE.get() {
        change(filter);
    }
    Ok(())
}

/// Whether `filter` is one.
///
/// # Errors
/// What is wrong with it.
pub fn check(filter: &str) -> Result<(), LogError> {
    checked(filter).map(drop)
}

fn checked(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter)
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), reason: error.to_string() })
}

fn usual_filter() -> String {
    let from_environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    from_environment.unwrap_or_else(|| DEFAULT_FILTER.to_owned())
}

/// Takes a new filter to the subscriber.
type Change = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Set once, by [`init`]: a process has one log.
static CHANGE: OnceLock<Change> = OnceLock::new();

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("log format `{text}` is not `text` or `json`")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What depends on where the lines go.
#[derive(Clone, Copy)]
struct Look {
    colour: bool,
    /// Text lines in the journal go without: it stamps them itself, with the same clock.
    stamp: bool,
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    look: Look,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, Change), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(checked(filter)?).with_writer(writer);
    Ok(match (format, look.stamp) {
        (LogFormat::Json, _) => {
            let inner = Format::default().json().without_time().with_span_list(false);
            let builder = builder.with_ansi(false).fmt_fields(JsonFields::new());
            let builder = builder.event_format(JsonLine(inner)).with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), changer(handle))
        }
        (LogFormat::Text, true) => {
            let builder = builder.with_ansi(look.colour).with_timer(Boottime);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), changer(handle))
        }
        (LogFormat::Text, false) => {
            let builder = builder.with_ansi(look.colour).without_time().with_filter_reloading();
            let handle = builder.reload_handle();
            (Box::new(builder.finish()), changer(handle))
        }
    })
}

fn changer<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> Change {
    Box::new(move |filter| {
        // It fails only when the subscriber has gone, and then nobody logs.
        let _ = handle.reload(filter);
    })
}

/// Whether standard error is the journal: systemd says in `JOURNAL_STREAM` which file that would
/// be, and a child with its output elsewhere inherits the variable all the same.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fs::metadata("/proc/self/fd/2")
        .is_ok_and(|meta| stream == format!("{}:{}", meta.dev(), meta.ino()))
}

struct Boottime;

impl FormatTime for Boottime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&seconds(boottime()))
    }
}

/// tracing's JSON line with a numeric time in front; its own time is a string.
struct JsonLine(Format<Json, ()>);

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = seconds(boottime());
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').ok_or(fmt::Error)?;
        write!(writer, "{{\"boottime\":{time},{rest}")
    }
}

/// A line of its own making: to ask the subscriber for one from inside it would be a loop.
fn dropped_json(count: u64) -> String {
    let time = seconds(boottime());
    let fields = format!("{{\"message\":\"log-dropped\",\"count\":{count}}}");
    format!(
        "{{\"boottime\":{time},\"level\":\"WARN\",\"fields\":{fields},\"target\":\"daemon::logs\"}}\n"
    )
}

fn dropped_text(count: u64) -> String {
    format!("{}  WARN daemon::logs: log-dropped count={count}\n", seconds(boottime()))
}

fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

/// What is logged unless somebody asks for more or less.
pub const DEFAULT_FILTER: &str = "info";

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, look: Look, work: impl FnOnce()) -> String {
        let paper = Paper::default();
        let copy = paper.clone();
        let (subscriber, _) = subscriber(format, "info", look, move || copy.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, work);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_has_a_number_for_its_time() {
        let before = boottime();
        let look = Look { colour: true, stamp: true };
        let text = written(LogFormat::Json, look, || {
            let _span = tracing::info_span!("line", port = "cash").entered();
            tracing::warn!(epoch = 7, "granted to {}", "n1");
            tracing::debug!("not seen");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let time = line["boottime"].as_f64().unwrap();
        assert!(time + 1e-5 >= before.as_secs_f64() && time <= boottime().as_secs_f64());
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["fields"]["message"], "granted to n1");
        assert_eq!(line["fields"]["epoch"], 7);
        assert_eq!(line["span"]["name"], "line");
        assert_eq!(line["span"]["port"], "cash");
        assert!(line["target"].as_str().unwrap().starts_with("daemon::logs"));
    }

    #[test]
    fn a_text_line_is_stamped_but_in_the_journal_and_coloured_on_a_terminal_only() {
        let plain = Look { colour: false, stamp: true };
        let text = written(LogFormat::Text, plain, || tracing::info!(n = 1, "up"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(time.split_once('.').unwrap().1.len(), 6, "{text}");
        assert!(time.parse::<f64>().unwrap() > 0.0);
        assert!(rest.contains("INFO") && rest.contains("up n=1"), "{text}");
        assert!(!text.contains('\x1b'));

        let journal = Look { colour: false, stamp: false };
        let text = written(LogFormat::Text, journal, || tracing::info!("up"));
        assert!(text.trim_start().starts_with("INFO"), "{text}");
        let terminal = Look { colour: true, stamp: true };
        assert!(written(LogFormat::Text, terminal, || tracing::info!("up")).contains('\x1b'));
    }

    #[test]
    fn another_filter_takes_the_place_of_the_first() {
        let paper = Paper::default();
        let copy = paper.clone();
        let look = Look { colour: false, stamp: false };
        let (subscriber, change) =
            subscriber(LogFormat::Text, "warn", look, move || copy.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("unseen");
            change(EnvFilter::new("info"));
            tracing::info!("seen");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(" seen") && !text.contains("unseen"), "{text}");
    }

    #[test]
    fn dropped_lines_are_told_in_the_form_of_the_others() {
        let line: serde_json::Value = serde_json::from_str(&dropped_json(3)).unwrap();
        assert_eq!(line["fields"]["message"], "log-dropped");
        assert_eq!(line["fields"]["count"], 3);
        assert_eq!(line["level"], "WARN");
        assert!(line["boottime"].as_f64().unwrap() > 0.0);
        assert!(dropped_text(3).ends_with("WARN daemon::logs: log-dropped count=3\n"));
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error = init(LogFormat::Text, Some("failover_node=loud")).unwrap_err().to_string();
        assert!(error.contains("log filter `failover_node=loud`"), "{error}");
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
