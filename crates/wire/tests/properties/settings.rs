//! Settings of a line: as text, and changed.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use wire::{LineSettings, SettingsChange, SignalChange, Signals};

use crate::values;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_settings_come_back_from_their_text(settings in values::settings()) {
        prop_assert_eq!(settings.to_string().parse(), Ok(settings));
    }

    #[test]
    fn a_full_change_gives_those_settings(
        (before, after) in (values::settings(), values::settings()),
        part in values::settings_change(),
    ) {
        prop_assert_eq!(before.with(after.into()), after);
        prop_assert_eq!(before.with(SettingsChange::default()), before);
        let changed = before.with(part);
        prop_assert_eq!(changed.with(part), changed);
        prop_assert_eq!(changed.baud, part.baud.unwrap_or(before.baud));
        prop_assert_eq!(changed.data_bits, part.data_bits.unwrap_or(before.data_bits));
        prop_assert_eq!(changed.parity, part.parity.unwrap_or(before.parity));
        prop_assert_eq!(changed.stop_bits, part.stop_bits.unwrap_or(before.stop_bits));
        prop_assert_eq!(changed.flow, part.flow.unwrap_or(before.flow));
    }

    #[test]
    fn arbitrary_text_does_settings_no_harm(text in "[0-9A-Za-z.,\\- ]{0,40}|\\PC{0,20}") {
        if let Ok(settings) = text.parse::<LineSettings>() {
            prop_assert!(settings.check().is_ok());
            prop_assert!(settings.char_bits_x2() >= 14 && !settings.char_time().is_zero());
        }
    }

    #[test]
    fn a_change_of_wires_touches_no_others(
        levels in 0..=Signals::ALL.0,
        [dtr, rts, brk] in any::<[Option<bool>; 3]>(),
    ) {
        let before = Signals(levels);
        let change = SignalChange { dtr, rts, brk };
        let after = before.with(change);
        for (wire, wanted) in [(Signals::DTR, dtr), (Signals::RTS, rts), (Signals::BREAK, brk)] {
            prop_assert_eq!(after.has(wire), wanted.unwrap_or_else(|| before.has(wire)));
        }
        prop_assert_eq!(after.and(Signals::THEIRS), before.and(Signals::THEIRS));
        prop_assert_eq!(change.is_empty(), [dtr, rts, brk] == [None; 3]);
    }
}
