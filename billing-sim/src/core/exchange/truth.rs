//! What was wanted, compared with what came.
use std::collections::BTreeMap;

use bytes::Bytes;

use super::entry::Finding;
use super::judge::{Item, Posted, State};
use super::verdict::Verdict;

/// What the two sides say was wanted. What is not known is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// Contents of the charges that the gateway was to post, each as often as it was wanted.
    pub charges: Option<Vec<Bytes>>,
    /// Texts of the records that the gateway has taken for a handler, in the order in which it took
    /// them. The billing system's own that are no items of the load count for nothing.
    pub records: Option<Vec<Bytes>>,
    /// Records that are left out of them, since they are from before the run.
    pub before: u64,
}

/// What is wrong with the charges `posted`, if `wanted` is what should have been.
pub fn charges(wanted: &[Bytes], posted: &[Posted]) -> Vec<Finding> {
    let mut sums: BTreeMap<&Bytes, (usize, usize)> = BTreeMap::new();
    for content in wanted {
        sums.entry(content).or_default().0 += 1;
    }
    let mut last: BTreeMap<&Bytes, u64> = BTreeMap::new();
    for Posted { number, content } in posted {
        // The same number twice is a duplicate, which has been told.
        if last.insert(content, *number) != Some(*number) {
            sums.entry(content).or_default().1 += 1;
        }
    }
    let mut findings = Vec::new();
    for (content, (wanted, posted)) in sums {
        let text = content.escape_ascii();
        let detail = format!("posted {posted} of {wanted} times: \"{text}\"");
        let verdict = if posted < wanted { Verdict::Lost } else { Verdict::DoubleContent };
        let count = wanted.abs_diff(posted) as u64;
        if count > 0 {
            findings.push(Finding { verdict, count, detail });
        }
    }
    findings
}

/// What is wrong with the `records` that the gateway has taken, if `items` were sent. An item that
/// its sender gave up may have been taken or not. One that is neither an item nor the billing
/// system's own was made of others, or of what was left of one.
pub fn records(items: &[Item], records: &[Bytes], is_own: &dyn Fn(&[u8]) -> bool) -> Vec<Finding> {
    let mut sums: BTreeMap<&Bytes, Sum> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let sum = sums.entry(&item.text).or_default();
        match item.state {
            State::GivenUp => sum.may += 1,
            State::Waiting | State::Confirmed => sum.must += 1,
        }
        sum.places.push(index);
    }
    // An item sent later that was taken earlier: the nth of the same text is the nth of its items.
    let (mut places, mut findings) = (Vec::new(), Vec::new());
    for text in records {
        let Some(sum) = sums.get_mut(text) else {
            if !is_own(text) {
                let detail = format!("taken, and nobody sent it: \"{}\"", text.escape_ascii());
                findings.push(Finding { verdict: Verdict::Interleave, count: 1, detail });
            }
            continue;
        };
        if let Some(place) = sum.places.get(sum.taken) {
            places.push(*place);
        }
        sum.taken += 1;
    }
    for (text, Sum { must, may, taken, .. }) in &sums {
        let text = text.escape_ascii();
        let (verdict, count) = if taken < must {
            (Verdict::Lost, must - taken)
        } else {
            (Verdict::DuplicatePosted, taken.saturating_sub(must + may))
        };
        let detail = format!("taken {taken} of {must} times: \"{text}\"");
        if count > 0 {
            findings.push(Finding { verdict, count: count as u64, detail });
        }
    }
    for pair in places.windows(2).filter(|pair| pair[1] < pair[0]) {
        let detail = format!("item {} was taken after item {}", pair[1] + 1, pair[0] + 1);
        findings.push(Finding { verdict: Verdict::Reordered, count: 1, detail });
    }
    findings
}

/// The items that were never settled, where the gateway is not asked.
pub fn unsettled(items: &[Item]) -> Vec<Finding> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let waiting = items.iter().enumerate().filter(|(_, item)| item.state == State::Waiting);
    for (index, _) in waiting {
        match runs.last_mut() {
            Some((_, last)) if *last == index => *last += 1,
            _ => runs.push((index + 1, index + 1)),
        }
    }
    let finding = |(from, to): (usize, usize)| {
        let detail = match from == to {
            true => format!("item {from} was never confirmed"),
            false => format!("items {from} to {to} were never confirmed"),
        };
        Finding { verdict: Verdict::Lost, count: (to - from + 1) as u64, detail }
    };
    runs.into_iter().map(finding).collect()
}

#[derive(Default)]
struct Sum {
    must: usize,
    may: usize,
    taken: usize,
    /// Indexes of the items with this text.
    places: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&'static str]) -> Vec<Bytes> {
        all.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    fn items(all: &[(&'static str, State)]) -> Vec<Item> {
        let item = |(text, state): &(&'static str, State)| Item {
            text: Bytes::from_static(text.as_bytes()),
            state: *state,
            sent: None,
        };
        all.iter().map(item).collect()
    }

    fn verdicts(findings: &[Finding]) -> Vec<(Verdict, u64)> {
        findings.iter().map(|finding| (finding.verdict, finding.count)).collect()
    }

    #[test]
    fn charges_are_compared_as_a_bag() {
        let posted = |all: &[(u64, &'static str)]| -> Vec<Posted> {
            let posted = |(number, text): &(u64, &'static str)| Posted {
                number: *number,
                content: text.as_bytes().into(),
            };
            all.iter().map(posted).collect()
        };
        let wanted = texts(&["a", "b", "b", "c", "c"]);
        let found = charges(&wanted, &posted(&[(1, "c"), (2, "b"), (3, "b"), (4, "a"), (5, "c")]));
        assert_eq!(found, []);
        let found = charges(&wanted, &posted(&[(1, "a"), (2, "a"), (3, "b"), (4, "x"), (4, "x")]));
        let expected = [
            (Verdict::DoubleContent, 1),
            (Verdict::Lost, 1),
            (Verdict::Lost, 2),
            (Verdict::DoubleContent, 1),
        ];
        assert_eq!(verdicts(&found), expected);
    }

    #[test]
    fn records_are_compared_as_a_bag_and_in_order() {
        use State::{Confirmed, GivenUp, Waiting};
        let sent = items(&[
            ("a", Confirmed),
            ("b", GivenUp),
            ("a", Confirmed),
            ("c", Waiting),
            ("d", Confirmed),
        ]);
        let is_own = |text: &[u8]| text == b"LS";
        for good in [&["a", "LS", "a", "c", "d"][..], &["a", "b", "a", "c", "d"]] {
            assert_eq!(records(&sent, &texts(good), &is_own), [], "{good:?}");
        }
        for (bad, expected) in [
            (&["a", "c", "d"][..], (Verdict::Lost, 1)),
            (&["a", "a", "d"], (Verdict::Lost, 1)),
            (&["a", "b", "b", "a", "c", "d"], (Verdict::DuplicatePosted, 1)),
            (&["a", "a", "a", "c", "d"], (Verdict::DuplicatePosted, 1)),
            (&["a", "a", "d", "c"], (Verdict::Reordered, 1)),
            (&["a", "a", "LScd", "c", "d"], (Verdict::Interleave, 1)),
        ] {
            assert_eq!(verdicts(&records(&sent, &texts(bad), &is_own)), [expected], "{bad:?}");
        }
        let found =
            unsettled(&items(&[("a", Waiting), ("b", Waiting), ("c", GivenUp), ("d", Waiting)]));
        assert_eq!(verdicts(&found), [(Verdict::Lost, 2), (Verdict::Lost, 1)]);
        assert_eq!(found[0].detail, "items 1 to 2 were never confirmed");
    }
}
