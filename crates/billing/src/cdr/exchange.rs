//! The billing system's end: an exchange that prints its calls and keeps some while it can't.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::generate::call;
use super::layout::Layout;
use super::settings::{CdrSettings, Flow, Policy};
use crate::billing_end::{BillingEnd, Misdeed, SimEvent};
use crate::civil::WallClock;

/// A telephone exchange.
///
/// It prints one record at a time, when the one before has left; what comes meanwhile waits in a
/// buffer of so many records. When that is full, one is lost for good, and only the numbers show
/// it. Of the misdeeds it knows one: [`Misdeed::EndLink`], a printer port that is silent for a
/// while. It answers nothing, so it can't answer wrongly.
#[derive(Debug)]
pub struct Exchange {
    settings: CdrSettings,
    layout: Layout,
    seed: u64,
    wall: WallClock,
    /// Records that wait.
    buffer: VecDeque<Item>,
    /// What goes out before the next record: titles and empty lines.
    titles: VecDeque<Bytes>,
    /// What was handed out and has not left; `Some(None)` is a title.
    leaving: Option<Option<u64>>,
    transmitted: u64,
    /// The number that the next record has, and the period it belongs to.
    number: u64,
    period: i64,
    /// Lines on this page, and pages.
    line: u16,
    page: u64,
    is_held: bool,
    /// Silent until then.
    silent_until: Option<Duration>,
    events: VecDeque<SimEvent>,
}

#[derive(Debug)]
struct Item {
    serial: u64,
    text: Bytes,
}

impl Exchange {
    /// An exchange that is switched on now.
    pub fn new(settings: CdrSettings, seed: u64, wall: WallClock, now: Duration) -> Self {
        let layout = settings.resolved();
        let sequence = layout.sequence;
        let seconds = wall.show(now).seconds();
        Self {
            seed,
            wall,
            buffer: VecDeque::new(),
            titles: VecDeque::new(),
            leaving: None,
            transmitted: 0,
            number: sequence.map_or(0, |sequence| sequence.first),
            period: sequence.map_or(0, |sequence| sequence.reset.period(seconds)),
            line: 0,
            page: 0,
            is_held: false,
            silent_until: None,
            events: VecDeque::new(),
            settings,
            layout,
        }
    }

    /// Numbers go to calls when they end, so one that is overwritten leaves a hole.
    fn next_number(&mut self, now: Duration) -> u64 {
        let Some(sequence) = self.layout.sequence else { return 0 };
        let period = sequence.reset.period(self.wall.show(now).seconds());
        if period > self.period {
            (self.number, self.period) = (sequence.first, period);
        }
        let number = self.number;
        self.number = sequence.after(number);
        number
    }

    /// Queues what a page needs before its next record.
    fn turn_page(&mut self) {
        let Some(page) = &self.layout.page else { return };
        if self.line >= page.length - page.skip {
            let blanks = (self.line..page.length).map(|_| self.layout.frame(b""));
            self.titles.extend(blanks);
            self.line = 0;
        }
        if self.line == 0 {
            self.page += 1;
            let title = |line| self.layout.frame(page.title_line(line, self.page).as_bytes());
            self.titles.extend((0..page.header).map(title));
            self.line = page.header;
        }
    }
}

impl BillingEnd for Exchange {
    /// An exchange listens to nothing but XOFF and XON.
    fn handle_bytes(&mut self, bytes: &[u8], _now: Duration) {
        let mut others = Vec::new();
        for byte in bytes {
            match (*byte, self.settings.flow) {
                (XOFF, Flow::XonXoff) => self.is_held = true,
                (XON, Flow::XonXoff) => self.is_held = false,
                (other, _) => others.push(other),
            }
        }
        if !others.is_empty() {
            self.events.push_back(SimEvent::Partial { bytes: others.into() });
        }
    }

    fn handle_damage(&mut self, _now: Duration) {}

    fn handle_written(&mut self, transmits: u64, _now: Duration) {
        if transmits >= self.transmitted
            && let Some(Some(serial)) = self.leaving.take()
        {
            self.events.push_back(SimEvent::Confirmed { serial });
        }
    }

    fn handle_timeout(&mut self, now: Duration) {
        if self.silent_until.is_some_and(|until| until <= now) {
            self.silent_until = None;
            self.events.push_back(SimEvent::Link { up: true });
        }
    }

    fn send(&mut self, serial: u64, now: Duration) {
        let number = self.next_number(now);
        let text = self.layout.compose(&call(self.seed, serial), number);
        self.events.push_back(SimEvent::Queued { serial, text: text.clone() });
        if self.buffer.len() < self.settings.buffer {
            return self.buffer.push_back(Item { serial, text });
        }
        let lost = match self.settings.policy {
            Policy::Stop => serial,
            Policy::DropOldest => {
                self.buffer.push_back(Item { serial, text });
                self.buffer.pop_front().map_or(serial, |oldest| oldest.serial)
            }
        };
        self.events.push_back(SimEvent::Overwritten { serial: lost });
    }

    fn backlog(&self) -> usize {
        self.buffer.len() + usize::from(matches!(self.leaving, Some(Some(_))))
    }

    fn has_room(&self) -> bool {
        self.buffer.len() < self.settings.buffer
    }

    fn withdraw(&mut self) {
        self.buffer.clear();
    }

    fn misbehave(&mut self, misdeed: Misdeed, now: Duration) {
        if let Misdeed::EndLink { pause } = misdeed {
            self.silent_until = Some(now + pause);
            self.events.push_back(SimEvent::Link { up: false });
        }
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.leaving.is_some() || self.is_held || self.silent_until.is_some() {
            return None;
        }
        if self.titles.is_empty() && !self.buffer.is_empty() {
            self.turn_page();
        }
        let bytes = match self.titles.pop_front() {
            Some(title) => {
                self.leaving = Some(None);
                title
            }
            None => {
                let Item { serial, text } = self.buffer.pop_front()?;
                self.line = self.line.saturating_add(1);
                self.leaving = Some(Some(serial));
                self.events.push_back(SimEvent::Sent { serial, attempt: 1 });
                self.layout.frame(&text)
            }
        };
        self.transmitted += 1;
        Some(bytes)
    }

    fn poll_event(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.silent_until
    }

    fn is_link_up(&self) -> Option<bool> {
        None
    }

    /// A title of a page that was printed.
    fn is_own(&self, text: &[u8]) -> bool {
        let Some(page) = &self.layout.page else { return false };
        let number = str::from_utf8(text).ok().and_then(|text| text.strip_prefix("PAGE "));
        let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        let is_title = |line| page.title_line(line, number).as_bytes() == text;
        number <= self.page && (0..page.header).any(is_title)
    }
}

const XON: u8 = 0x11;
const XOFF: u8 = 0x13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const T0: Duration = Duration::from_secs(1000);

    fn exchange(pairs: &[(&str, &str)], wall: &str) -> Exchange {
        let mut settings = CdrSettings::default();
        for (name, value) in pairs {
            settings.set(name, value).unwrap();
        }
        let at_boot = wall.parse::<crate::Civil>().unwrap().seconds() - 1000;
        Exchange::new(settings, 1, WallClock { at_boot }, T0)
    }

    fn events(exchange: &mut Exchange) -> Vec<SimEvent> {
        std::iter::from_fn(|| exchange.poll_event()).collect()
    }

    fn overwritten(exchange: &mut Exchange) -> Vec<u64> {
        let lost = |event| match event {
            SimEvent::Overwritten { serial } => Some(serial),
            _ => None,
        };
        events(exchange).into_iter().filter_map(lost).collect()
    }

    /// Lets all leave that wants to.
    fn drain(exchange: &mut Exchange) -> Vec<Bytes> {
        let mut all = Vec::new();
        while let Some(bytes) = exchange.poll_transmit() {
            all.push(bytes);
            exchange.handle_written(exchange.transmitted, T0);
        }
        all
    }

    #[test]
    fn a_line_that_is_held_back_costs_the_oldest_records() {
        let mut exchange = exchange(&[("buffer", "3"), ("layout", "m1")], "2018-06-18T12:00:00");
        for serial in 1..=6 {
            exchange.send(serial, T0);
            // The first one begins to leave and does not end.
            exchange.poll_transmit();
        }
        assert_eq!(exchange.backlog(), 4);
        assert_eq!(overwritten(&mut exchange), [2, 3]);
        exchange.handle_written(1, T0);
        let layout = Layout::built_in("m1").unwrap();
        let number = |bytes: &Bytes| layout.number(bytes).unwrap();
        let numbers: Vec<_> = drain(&mut exchange).iter().map(number).collect();
        assert_eq!(numbers, [3, 4, 5]);
        assert_eq!(exchange.backlog(), 0);
    }

    #[test]
    fn one_that_stops_recording_loses_the_newest() {
        let mut exchange = exchange(&[("buffer", "2"), ("policy", "stop")], "2018-06-18T12:00:00");
        for serial in 1..=4 {
            exchange.send(serial, T0);
        }
        assert_eq!(overwritten(&mut exchange), [3, 4]);
    }

    #[test]
    fn numbers_begin_again_at_midnight() {
        let pairs = [("layout", "m1"), ("reset", "midnight")];
        let mut exchange = exchange(&pairs, "2018-06-18T23:59:58");
        let layout = Layout::built_in("m1").unwrap();
        for second in 0..4 {
            exchange.send(second + 1, T0 + Duration::from_secs(second));
        }
        let number = |bytes: &Bytes| layout.number(bytes).unwrap();
        let numbers: Vec<_> = drain(&mut exchange).iter().map(number).collect();
        assert_eq!(numbers, [0, 1, 0, 1]);
    }

    #[test]
    fn pages_have_titles_and_an_empty_foot() {
        let mut exchange = exchange(&[("layout", "kx")], "2018-06-18T12:00:00");
        for serial in 1..=61 {
            exchange.send(serial, T0);
        }
        let all = drain(&mut exchange);
        // 3 titles, 60 calls, 3 empty lines, then again.
        assert_eq!(all.len(), 66 + 3 + 1);
        assert_eq!(all[0], "CALL RECORDS\r\n");
        assert_eq!(all[63..67], ["\r\n", "\r\n", "\r\n", "CALL RECORDS\r\n"]);
        assert_eq!(all[67], "PAGE 2\r\n");
        for (at, line) in all.iter().enumerate().filter(|(_, line)| line.len() > 2) {
            let is_title = at < 3 || (66..69).contains(&at);
            assert_eq!(exchange.is_own(&line[..line.len() - 2]), is_title, "{line:?}");
        }
        assert!(!exchange.is_own(b"PAGE 3"));
    }

    #[test]
    fn it_obeys_xoff_if_it_is_to() {
        for (flow, held) in [("xonxoff", true), ("port", false)] {
            let mut exchange = exchange(&[("flow", flow)], "2018-06-18T12:00:00");
            exchange.send(1, T0);
            exchange.handle_bytes(&[XOFF], T0);
            assert_eq!(exchange.poll_transmit().is_none(), held);
            exchange.handle_bytes(&[XON], T0);
            assert_eq!(exchange.poll_transmit().is_some(), held);
        }
    }

    #[test]
    fn a_silent_port_speaks_again() {
        let mut exchange = exchange(&[], "2018-06-18T12:00:00");
        exchange.misbehave(Misdeed::EndLink { pause: Duration::from_secs(5) }, T0);
        exchange.send(1, T0);
        assert_eq!(exchange.poll_transmit(), None);
        exchange.handle_timeout(T0 + Duration::from_secs(5));
        assert!(exchange.poll_transmit().is_some());
    }

    #[test]
    fn what_is_said_to_it_is_a_fault() {
        let mut exchange = exchange(&[], "2018-06-18T12:00:00");
        exchange.handle_bytes(b"\x06", T0);
        let bytes = Bytes::from_static(b"\x06");
        assert_eq!(events(&mut exchange), [SimEvent::Partial { bytes }]);
    }
}
