//! What must never be, found in the record of a line.

use wire::Epoch;

use super::rows::Row;
use crate::answerer::journal::Offer;

/// The bytes of one grant on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The grant.
    pub epoch: Epoch,
    /// Where its first byte stands among the line's output.
    pub from: u64,
    /// Where its last one ends.
    pub until: u64,
}

/// Whose turn it was, in order, and all that breaks the rules:
/// - grants are numbered upwards, and one ends before the next begins (I1, I5)
/// - every byte is handed to the line once, in order (I2)
/// - every byte was offered, at this place, by the payload whose turn it is (I2)
/// - no record is begun whose grant has ended; one that was begun may be finished (I2, I4)
pub fn check(rows: &[Row], offers: &[Offer]) -> (Vec<Turn>, Vec<String>) {
    let mut checker = Checker { offers, ..Checker::default() };
    for row in rows {
        match row {
            Row::Granted(epoch) => checker.granted(*epoch),
            Row::Ended(epoch) => checker.ended(*epoch),
            Row::Output(position, bytes) => checker.output(*position, bytes),
            Row::Missing(text) => checker.find(format!("the record is not whole: {text}")),
        }
    }
    (checker.turns, checker.violations)
}

#[derive(Debug, Default)]
struct Checker<'a> {
    offers: &'a [Offer],
    /// Who has the line, and who had it last.
    holder: Option<Epoch>,
    last: Option<Epoch>,
    /// Where the next byte must stand, in the present life of the terminal server.
    next: Option<u64>,
    turns: Vec<Turn>,
    violations: Vec<String>,
}

impl<'a> Checker<'a> {
    fn find(&mut self, violation: String) {
        self.violations.push(violation);
    }

    fn granted(&mut self, epoch: Epoch) {
        let reborn = self.last.is_none_or(|last| last.start() != epoch.start());
        match (self.holder, self.last) {
            // A terminal server that was killed had no time to end the grant.
            (Some(holder), _) if !reborn => {
                self.find(format!("{epoch} was granted while {holder} had the line"));
            }
            (_, Some(last)) if last >= epoch => {
                self.find(format!("{epoch} was granted after {last}"));
            }
            _ => {}
        }
        if reborn {
            self.next = None;
        }
        if self.next.is_none() {
            let offer = self.offers.iter().find(|offer| offer.epoch == epoch);
            self.next = offer.map(|offer| offer.position);
        }
        self.holder = Some(epoch);
        self.last = Some(epoch);
    }

    fn ended(&mut self, epoch: Epoch) {
        if self.holder != Some(epoch) {
            self.find(format!("{epoch} ended, which nobody had"));
        }
        self.holder = None;
    }

    fn output(&mut self, position: u64, bytes: &[u8]) {
        if let Some(expected) = self.next.filter(|next| *next != position) {
            self.find(format!("bytes from {position} on follow those before {expected}"));
        }
        self.next = Some(position + bytes.len() as u64);
        let mut at = position;
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = self.piece(at, rest).clamp(1, rest.len());
            at += length as u64;
            rest = &rest[length..];
        }
    }

    /// Judges what belongs to one record; how many bytes these are.
    fn piece(&mut self, at: u64, bytes: &[u8]) -> usize {
        let Some(owner) = self.owner(at) else {
            self.find(format!("nobody had the line for the bytes from {at} on"));
            return bytes.len();
        };
        let frame = owner
            .frames
            .iter()
            .find(|(from, frame)| (*from..*from + frame.len() as u64).contains(&at));
        let Some((from, frame)) = frame else {
            self.find(format!("{} never offered the bytes from {at} on", owner.epoch));
            return bytes.len();
        };
        let offered = usize::try_from(at - from).ok().and_then(|skip| frame.get(skip..));
        let offered = offered.unwrap_or_default();
        let length = offered.len().min(bytes.len());
        if offered[..length] != bytes[..length] {
            self.find(format!("the bytes from {at} on are not those that {} offered", owner.epoch));
        }
        let begins = at == *from;
        let epoch = owner.epoch;
        if begins && self.holder != Some(epoch) {
            self.find(format!("a record of {epoch} was begun at {at} without its grant"));
        }
        self.count(epoch, at, at + length as u64);
        length
    }

    /// Whose turn it is at a position: the newest's that was granted and begins no later.
    fn owner(&self, at: u64) -> Option<&'a Offer> {
        let last = self.last?;
        let mine = |offer: &&Offer| {
            offer.epoch.start() == last.start() && offer.epoch <= last && offer.position <= at
        };
        self.offers.iter().filter(mine).max_by_key(|offer| offer.epoch)
    }

    fn count(&mut self, epoch: Epoch, from: u64, until: u64) {
        match self.turns.last_mut() {
            Some(turn) if turn.epoch == epoch => turn.until = until,
            last => {
                if let Some(last) = last.filter(|last| last.epoch > epoch) {
                    let text = format!("bytes of {epoch} came after bytes of {}", last.epoch);
                    self.violations.push(text);
                }
                self.turns.push(Turn { epoch, from, until });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// A history as it may be: some grants, each with some records on the line; the last record of
    /// one may be finished after its end, and records may be offered that never came to the line.
    #[derive(Debug, Clone)]
    struct Story {
        rows: Vec<Row>,
        offers: Vec<Offer>,
    }

    fn story(seed: u64) -> Story {
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let (mut rows, mut offers) = (Vec::new(), Vec::new());
        let mut position = draw.random_range(0..100);
        for count in 1..=draw.random_range(3..8) {
            let epoch = Epoch::new(1 + count / 4, count);
            rows.push(Row::Granted(epoch));
            // At least two, so that every mutation has something to bite on.
            let mut frames = Vec::new();
            let first = position;
            for _ in 0..draw.random_range(2..5) {
                let length = draw.random_range(4..30);
                // Each payload says it in its own words, so that whose bytes they are can be seen.
                let bytes: Vec<u8> = (0..length).map(|_| draw.random_range(0..=255)).collect();
                frames.push((position, bytes));
                position += length;
            }
            let (last, before) = frames.split_last().unwrap();
            for (at, bytes) in before {
                rows.push(Row::Output(*at, bytes.clone()));
            }
            let cut = draw.random_range(1..last.1.len());
            rows.push(Row::Output(last.0, last.1[..cut].to_vec()));
            rows.push(Row::Ended(epoch));
            rows.push(Row::Output(last.0 + cut as u64, last.1[cut..].to_vec()));
            if draw.random_range(0..2) == 0 {
                frames.push((position, vec![0xee; 9]));
            }
            offers.push(Offer { epoch, position: first, frames });
        }
        Story { rows, offers }
    }

    /// Positions of rows that do this.
    fn where_(story: &Story, what: impl Fn(&Row) -> bool) -> Vec<usize> {
        (0..story.rows.len()).filter(|at| what(&story.rows[*at])).collect()
    }

    fn any(story: &Story, draw: &mut ChaCha8Rng, what: impl Fn(&Row) -> bool) -> usize {
        let places = where_(story, what);
        places[draw.random_range(0..places.len())]
    }

    type Mutation = fn(&mut Story, &mut ChaCha8Rng);

    const MUTATIONS: [(&str, Mutation); 9] = [
        ("two holders", |story, draw| {
            let last = where_(story, |row| matches!(row, Row::Granted(_))).pop().unwrap();
            let at = any(story, draw, |row| matches!(row, Row::Ended(_)));
            // Not the last end, and not one before a restart, which needs none.
            let Row::Ended(epoch) = story.rows[at] else { unreachable!() };
            let next = story.rows[at..].iter().find_map(|row| match row {
                Row::Granted(next) => Some(*next),
                _ => None,
            });
            if at < last && next.is_some_and(|next| next.start() == epoch.start()) {
                story.rows.remove(at);
            } else {
                let Row::Granted(one) = story.rows[0] else { unreachable!() };
                story.rows.insert(1, Row::Granted(Epoch(one.0 + 1)));
            }
        }),
        ("an epoch twice", |story, draw| {
            let at = any(story, draw, |row| matches!(row, Row::Ended(_)));
            let Row::Ended(epoch) = story.rows[at] else { unreachable!() };
            story.rows.splice(at + 1..at + 1, [Row::Granted(epoch), Row::Ended(epoch)]);
        }),
        ("an end of what nobody had", |story, draw| {
            let at = any(story, draw, |row| matches!(row, Row::Ended(_)));
            let row = story.rows[at].clone();
            story.rows.insert(at + 1, row);
        }),
        ("bytes twice", |story, draw| {
            let at = any(story, draw, |row| matches!(row, Row::Output(..)));
            let row = story.rows[at].clone();
            story.rows.insert(at + 1, row);
        }),
        ("bytes that are missing", |story, draw| {
            // Not the last, nor the last before a restart: what a killed server wrote last may be gone.
            let mut places = where_(story, |row| matches!(row, Row::Output(..)));
            places.retain(|at| {
                let next = story.rows[at + 1..].iter().find(|row| !matches!(row, Row::Ended(_)));
                matches!(next, Some(Row::Output(..)))
            });
            story.rows.remove(places[draw.random_range(0..places.len())]);
        }),
        ("a byte that is another one", |story, draw| {
            let at = any(story, draw, |row| matches!(row, Row::Output(..)));
            let Row::Output(_, bytes) = &mut story.rows[at] else { unreachable!() };
            let at = draw.random_range(0..bytes.len());
            bytes[at] ^= 0x40;
        }),
        ("a record of a replaced holder", |story, draw| {
            // The older grant's words at the newer one's place.
            let grants = story.offers.len();
            let one = draw.random_range(1..grants);
            let (at, length) = (story.offers[one].position, story.offers[one].frames[0].1.len());
            let stale: Vec<_> = (0..length).map(|n| !story.offers[one].frames[0].1[n]).collect();
            story.offers[one - 1].frames.push((at, stale.clone()));
            let row =
                story.rows.iter_mut().find(|row| matches!(row, Row::Output(p, _) if *p == at));
            *row.unwrap() = Row::Output(at, stale);
        }),
        ("a record begun after its grant", |story, draw| {
            let at = any(story, draw, |row| matches!(row, Row::Granted(_)));
            let row = story.rows.remove(at);
            let end = story.rows[at..].iter().position(|row| matches!(row, Row::Ended(_)));
            // Granted and ended at once, and only then the records come.
            let end = story.rows.remove(at + end.unwrap());
            story.rows.splice(at..at, [row, end]);
        }),
        ("bytes that nobody offered", |story, draw| {
            let one = draw.random_range(0..story.offers.len());
            story.offers[one].frames.remove(0);
        }),
    ];

    #[test]
    fn i2_histories_as_they_may_be_pass_and_every_grant_has_its_turn() {
        for seed in 0..500 {
            let story = story(seed);
            let (turns, violations) = check(&story.rows, &story.offers);
            assert_eq!(violations, [""; 0], "seed {seed}");
            assert_eq!(turns.len(), story.offers.len(), "seed {seed}");
            for pair in turns.windows(2) {
                assert!(pair[0].epoch < pair[1].epoch, "seed {seed}: {pair:?}");
                assert!(pair[0].until <= pair[1].from, "seed {seed}: {pair:?}");
            }
        }
    }

    #[test]
    fn i2_every_kind_of_bad_history_is_found() {
        for (name, mutate) in MUTATIONS {
            for seed in 0..500 {
                let mut story = story(seed);
                mutate(&mut story, &mut ChaCha8Rng::seed_from_u64(seed));
                let (_, violations) = check(&story.rows, &story.offers);
                assert_ne!(violations, [""; 0], "{name}, seed {seed}");
            }
        }
    }

    #[test]
    fn a_trace_is_understood() {
        let text = "\
2026-11-23T08:26:02.000000Z -               Granted { node: Some(\"node-a\"), epoch: Epoch(30064771073), in_doubt: 0 }
2026-11-23T08:26:02.123456Z <         5123  02 30 31 03 0d 0a                                <STX>01<ETX><CR><LF>
2026-11-23T08:26:02.124001Z >           17  06 20 20 41 41 41 41 41 41 41 41 41 41 41 41 41  <ACK>  AAAA
2026-11-23T08:26:02.124001Z >           33  0d                                               <CR>
2026-11-23T08:26:03.000000Z -               left out: 0 bytes of input, 3 of output: slow
2026-11-23T08:26:03.000000Z -               Ended { epoch: Epoch(30064771073), cause: Closed, dropped: 0 }
";
        let epoch = Epoch::new(7, 1);
        let mut bytes = vec![6, 32, 32];
        bytes.extend([0x41; 13]);
        let expected = [
            Row::Granted(epoch),
            Row::Output(17, bytes),
            Row::Output(33, vec![13]),
            Row::Missing("left out: 0 bytes of input, 3 of output: slow".to_owned()),
            Row::Ended(epoch),
        ];
        assert_eq!(super::super::rows::rows(text), expected);
    }
}
