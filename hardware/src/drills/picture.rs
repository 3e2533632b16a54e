//! The decisive drills as a drawing: what each host did over time.

use std::fmt::Write as _;
use std::time::Duration;

use super::case::Case;
use super::plan::Plan;
use super::suite::BEFORE;
use crate::chain::SERVER;
use crate::cuts::EAR;
use crate::deed::Deed;
use crate::drawing;
use crate::ear::HEARD;
use crate::history::History;
use crate::net::Network;
use crate::settings::node_name;
use crate::timeline::{Entry, Source, What};

/// One drill, ready to be drawn. Times count from the failure; what came before is negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    title: String,
    lanes: Vec<Lane>,
    /// What was done to the chain.
    deeds: Vec<(f64, String)>,
    until: f64,
}

/// What one host, or the line, did.
#[derive(Debug, Clone, PartialEq)]
struct Lane {
    name: String,
    bars: Vec<Bar>,
    ticks: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Bar {
    from: f64,
    until: f64,
    class: &'static str,
    label: String,
}

impl Story {
    /// What a timeline tells; `None` if nothing was done to the chain in it.
    pub fn of(case: Case, plan: &Plan, entries: &[Entry]) -> Option<Self> {
        let zero = entries.iter().find(|entry| is_failure(entry))?.at;
        let until = AFTER.max((plan.profile.lease * 4).as_secs_f64());
        let clock = Clock { zero, until };
        let history = History::of(entries);
        let mut lanes = vec![line_lane(&history, &clock), server_lane(entries, &clock)];
        lanes.extend((0..plan.nodes).map(|index| node_lane(index, entries, &clock)));
        lanes.push(billing_lane(entries, &clock));
        let deeds = entries.iter().filter_map(|entry| match &entry.what {
            What::Did(deed) => Some((clock.at(entry.at), deed_words(deed)?)),
            _ => None,
        });
        let deeds = deeds.filter(|(at, _)| clock.shows(*at)).collect();
        let title = format!("{case}, {} nodes, profile {}", plan.nodes, plan.profile);
        Some(Self { title, lanes, deeds, until })
    }
}

/// Seconds from the failure.
struct Clock {
    zero: Duration,
    until: f64,
}

impl Clock {
    fn at(&self, at: Duration) -> f64 {
        at.as_secs_f64() - self.zero.as_secs_f64()
    }

    fn shows(&self, at: f64) -> bool {
        (-BEFORE.as_secs_f64()..=self.until).contains(&at)
    }

    /// What of a bar is in the picture.
    fn bar(&self, from: Duration, until: Option<Duration>, class: &'static str) -> Option<Bar> {
        let from = self.at(from).max(-BEFORE.as_secs_f64());
        let until = until.map_or(self.until, |until| self.at(until)).min(self.until);
        (until > from).then(|| Bar { from, until, class, label: String::new() })
    }
}

fn is_failure(entry: &Entry) -> bool {
    let done = matches!(
        &entry.what,
        What::Did(Deed::Killed { .. } | Deed::Stopped { .. } | Deed::Cut { .. })
    );
    done && entry.source == Source::Lab
}

fn deed_words(deed: &Deed) -> Option<String> {
    Some(match deed {
        Deed::Killed { program, .. } => format!("kill -9 {program}"),
        Deed::Stopped { program, .. } => format!("SIGSTOP {program}"),
        Deed::Continued { program, .. } => format!("SIGCONT {program}"),
        Deed::Started { program, .. } if program != EAR => format!("start {program}"),
        Deed::Cut { what } => format!("cut: {what}"),
        Deed::Healed => "healed".to_owned(),
        _ => return None,
    })
}

/// Grants and leases: who has the line by the terminal server's word.
fn line_lane(history: &History, clock: &Clock) -> Lane {
    let bars = history.tenures.iter().filter_map(|tenure| {
        let class = class_of(&tenure.node);
        let mut bar = clock.bar(tenure.from, tenure.until, class)?;
        let cause = tenure.cause.as_deref().map(|cause| format!(", ended: {cause}"));
        let epoch = tenure.epoch.count();
        bar.label = format!("{}, epoch {epoch}{}", tenure.node, cause.unwrap_or_default());
        Some(bar)
    });
    Lane { name: "grant".to_owned(), bars: bars.collect(), ticks: Vec::new() }
}

fn server_lane(entries: &[Entry], clock: &Clock) -> Lane {
    let ticks = heard(entries, &Network::address(0).to_string(), clock);
    Lane { name: format!("{SERVER}: beacons"), bars: Vec::new(), ticks }
}

/// Heartbeats as they were heard beside the terminal server, and the payload's life.
fn node_lane(index: usize, entries: &[Entry], clock: &Clock) -> Lane {
    let name = node_name(index);
    let ticks = heard(entries, &Network::address(index + 1).to_string(), clock);
    let mut bars = Vec::new();
    let mut since: Option<(Duration, &'static str)> = None;
    for entry in entries {
        let next = match (&entry.source, &entry.what) {
            (Source::Node(node), What::Said(saying)) if *node == name => {
                match saying.word.as_str() {
                    "claiming" => Some(Some("candidate")),
                    "payload-started" => Some(Some(class_of(&name))),
                    "payload-gone" | "refused" | "connect-failed" | "instance-gone" => Some(None),
                    _ => None,
                }
            }
            (_, What::Did(Deed::Killed { program, .. })) if *program == name => Some(None),
            _ => None,
        };
        let Some(next) = next else { continue };
        if let Some((from, class)) = since.take() {
            bars.extend(clock.bar(from, Some(entry.at), class));
        }
        since = next.map(|class| (entry.at, class));
    }
    bars.extend(since.and_then(|(from, class)| clock.bar(from, None, class)));
    Lane { name, bars, ticks }
}

fn billing_lane(entries: &[Entry], clock: &Clock) -> Lane {
    let answered = entries.iter().filter_map(|entry| match &entry.what {
        What::Billing(billing_sim::Event::Answered { at, .. }) => Some(clock.at(*at)),
        _ => None,
    });
    let ticks = answered.filter(|at| clock.shows(*at)).collect();
    Lane { name: "answers at the billing system".to_owned(), bars: Vec::new(), ticks }
}

fn heard(entries: &[Entry], from: &str, clock: &Clock) -> Vec<f64> {
    let heard = entries.iter().filter_map(|entry| match &entry.what {
        What::Said(saying) if saying.word == HEARD && saying.text("from") == Some(from) => {
            Some(clock.at(entry.at))
        }
        _ => None,
    });
    heard.filter(|at| clock.shows(*at)).collect()
}

fn class_of(node: &str) -> &'static str {
    CLASSES[node.bytes().last().map_or(0, |last| usize::from(last) % CLASSES.len())]
}

/// All stories below one another.
pub fn svg(stories: &[Story]) -> String {
    let height: f64 = stories.iter().map(height).sum::<f64>() + GAP;
    let label = "What each host did over time when a coordinator failed";
    let mut text = drawing::begin(WIDTH, height, label, STYLE);
    let mut top = 0.0;
    for story in stories {
        panel(&mut text, story, top);
        top += self::height(story);
    }
    text + drawing::END
}

fn height(story: &Story) -> f64 {
    TITLE + DEED * story.deeds.len() as f64 + LANE * story.lanes.len() as f64 + AXIS + GAP
}

fn panel(text: &mut String, story: &Story, top: f64) {
    let before = BEFORE.as_secs_f64();
    let scale = (WIDTH - LEFT - RIGHT) / (story.until + before);
    let x = |at: f64| LEFT + (at + before) * scale;
    let _ = writeln!(
        text,
        "<text class=\"title\" x=\"0\" y=\"{:.0}\">{}</text>",
        top + TITLE - 8.0,
        story.title
    );
    let lanes = top + TITLE + DEED * story.deeds.len() as f64;
    let bottom = lanes + LANE * story.lanes.len() as f64;
    for ((at, words), row) in story.deeds.iter().zip(0..) {
        let y = top + TITLE + DEED * f64::from(row);
        // Words that would leave the picture stand on the other side of their line.
        let (anchor, shift) = if x(*at) > WIDTH * 0.7 { ("end", -4.0) } else { ("start", 4.0) };
        let _ = writeln!(
            text,
            "<line class=\"deed\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{y:.0}\" y2=\"{bottom:.0}\"/>\
             <text x=\"{1:.1}\" y=\"{2:.0}\" text-anchor=\"{anchor}\">{words}</text>",
            x(*at),
            x(*at) + shift,
            y + DEED - 5.0,
        );
    }
    for (lane, row) in story.lanes.iter().zip(0..) {
        draw_lane(text, lane, lanes + LANE * f64::from(row), &x);
    }
    axis(text, story, bottom, &x);
}

fn draw_lane(text: &mut String, lane: &Lane, y: f64, x: &impl Fn(f64) -> f64) {
    let _ = writeln!(
        text,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
        LEFT - 8.0,
        y + LANE * 0.6,
        lane.name
    );
    for bar in &lane.bars {
        let (from, width) = (x(bar.from), (x(bar.until) - x(bar.from)).max(1.0));
        let _ = writeln!(
            text,
            "<rect class=\"{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
             rx=\"2\"/>",
            bar.class,
            y + 3.0,
            LANE - 8.0
        );
        // A label needs room.
        if width > 6.5 * bar.label.len() as f64 {
            let _ = writeln!(
                text,
                "<text class=\"in\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                from + 5.0,
                y + LANE * 0.6,
                bar.label
            );
        }
    }
    for at in &lane.ticks {
        let _ = writeln!(
            text,
            "<line class=\"tick\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.0}\" y2=\"{2:.0}\"/>",
            x(*at),
            y + LANE - 9.0,
            y + LANE - 1.0
        );
    }
}

fn axis(text: &mut String, story: &Story, y: f64, x: &impl Fn(f64) -> f64) {
    let _ = writeln!(
        text,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.0}\" y2=\"{y:.0}\"/>",
        WIDTH - RIGHT
    );
    let steps = (story.until / STEP) as u32;
    for step in 0..=steps {
        let at = f64::from(step) * STEP;
        let _ = writeln!(
            text,
            "<text class=\"note\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{:.0} ms</text>",
            x(at),
            y + 14.0,
            at * 1000.0
        );
    }
}

const CLASSES: [&str; 4] = ["four", "one", "two", "three"];
const STYLE: &str = "\
.one{fill:#1a7f5a}.two{fill:#2f6fb2}.three{fill:#8a5bb5}.four{fill:#b0563b}.candidate{fill:#d4a72c}\
.in{fill:#fff}.tick{stroke:#24292f;stroke-width:1}.deed{stroke:#cf222e;stroke-dasharray:3 3}\
.axis{stroke:#8c959f}\
@media(prefers-color-scheme:dark){.tick{stroke:#e6edf3}.deed{stroke:#ff7b72}}";
const WIDTH: f64 = 900.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 20.0;
const TITLE: f64 = 28.0;
const DEED: f64 = 17.0;
const LANE: f64 = 26.0;
const AXIS: f64 = 20.0;
const GAP: f64 = 16.0;
/// Between two marks of the axis, and how much is shown at least, in seconds.
const STEP: f64 = 0.2;
const AFTER: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saying::Saying;

    fn said(at: f64, source: Source, fields: &str) -> Entry {
        let line = format!(r#"{{"boottime":{at},"level":"INFO","fields":{{{fields}}}}}"#);
        let saying = Saying::parse(&line).unwrap();
        Entry { at: saying.at, source, what: What::Said(saying) }
    }

    fn did(at: f64, deed: Deed) -> Entry {
        Entry { at: Duration::from_secs_f64(at), source: Source::Lab, what: What::Did(deed) }
    }

    #[test]
    fn a_kill_is_drawn_with_both_holders_their_heartbeats_and_the_deed() {
        let node = |name: &str| Source::Node(name.to_owned());
        let entries = [
            said(9.0, Source::Server, r#""message":"granted","node":"node-a","epoch":"7.1""#),
            said(9.0, node("node-a"), r#""message":"payload-started","epoch":"7.1""#),
            said(9.9, node(EAR), r#""message":"heard","from":"10.77.0.2""#),
            did(10.0, Deed::Killed { program: "node-a".to_owned(), pid: 1 }),
            said(10.1, Source::Server, r#""message":"ended","epoch":"7.1","cause":"closed""#),
            said(10.2, Source::Server, r#""message":"granted","node":"node-b","epoch":"7.2""#),
        ];
        let story = Story::of(Case::Kill, &Plan::short(), &entries).unwrap();
        let grant = &story.lanes[0];
        assert_eq!(grant.bars.len(), 2);
        assert_eq!(grant.bars[0].label, "node-a, epoch 1, ended: closed");
        assert!((grant.bars[0].until - 0.1).abs() < 1e-9);
        let node_a = &story.lanes[2];
        assert_eq!(node_a.ticks.len(), 1);
        assert!(node_a.bars[0].until.abs() < 1e-9, "killed: {node_a:?}");
        assert_eq!(story.deeds, [(0.0, "kill -9 node-a".to_owned())]);
        let text = svg(&[story]);
        assert!(text.contains("epoch 2") && text.ends_with("</svg>\n"));
        assert_eq!(Story::of(Case::Quiet, &Plan::short(), &entries[..3]), None);
    }
}
