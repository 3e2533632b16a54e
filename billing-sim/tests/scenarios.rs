//! Every scenario of `scenarios/` against the dialect's real gateway, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod desk;

use billing_sim::{Scenario, verdicts};

#[test]
fn plain() {
    for name in ["fias", "cdr", "hx"] {
        let mut s = Scenario::new(name);
        s.load.count = Some(20);
        if name == "fias" {
            s.load.charges = 20;
        }
        let played = desk::play(&s);
        eprintln!("{}", verdicts::render(&played.report, false));
        for e in &played.entries {
            if std::env::var_os("SHOW").is_some() {
                eprintln!("{}", serde_json::to_string(e).unwrap());
            }
        }
    }
}
