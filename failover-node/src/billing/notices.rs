//! What a gateway has to say, as lines for the node's log.

use billing::{Notice, Outcome};

/// Writes a line on standard error, which the node logs. What happens with every record is told by
/// the store; here is what somebody ought to look at.
pub(crate) fn log(notice: &Notice) {
    if let Some(line) = line(notice) {
        eprintln!("{line}");
    }
}

fn line(notice: &Notice) -> Option<String> {
    let or_none = |number: &Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    Some(match notice {
        Notice::LinkUp => "link-up".to_owned(),
        Notice::LinkDown { why } => format!("link-down why={why:?}"),
        Notice::Sending { attempt: 0 | 1, .. } => return None,
        Notice::Sending { number, attempt } => {
            format!("charge-again number={number} attempt={attempt}")
        }
        Notice::Settled { outcome: Outcome::Posted, .. } => return None,
        Notice::Settled { number, outcome: Outcome::Refused } => {
            format!("charge-refused number={number}")
        }
        Notice::GaveUp { number } => format!("link-gave-up number={}", or_none(number)),
        Notice::BadCheck { start, end } => format!("bad-check start={start} end={end}"),
        Notice::Partial { start, end } => format!("partial start={start} end={end}"),
        Notice::Repeated { number } => format!("repeated number={}", or_none(number)),
        Notice::Unexpected { what } => format!("unexpected what={what:?}"),
        Notice::NoteRefused => "note-refused".to_owned(),
        Notice::NumbersUnknown => "numbers-unknown charges=wait tell=\"post --last\"".to_owned(),
        Notice::Missing { from, count } => format!("missing from={from} count={count}"),
    })
}
