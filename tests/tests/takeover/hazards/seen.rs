//! What the billing system may have seen.

use billing::SimEvent;
use linekeeper_tests::takeover::Setting;

/// A line on which only the test makes things happen.
pub(super) fn quiet(name: &str) -> Setting {
    Setting { records: 0, ..Setting::of(name, &[]) }
}

pub(super) fn is_partial(event: &SimEvent) -> bool {
    matches!(event, SimEvent::Partial { .. })
}

pub(super) fn is_interleave(event: &SimEvent) -> bool {
    matches!(event, SimEvent::Interleave { .. })
}
