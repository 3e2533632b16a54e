//! The key of a running group is changed, in the three steps of `docs/operations.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::chain::SERVER;
use lab::{Chain, Kind, Settings, Source, What, session};
use sys::process::Signal;

use crate::common::{Turn, assert_clean, chain_of};

/// Every program of the chain, and the file that it was started from.
fn files(chain: &Chain) -> Vec<(String, PathBuf)> {
    let nodes = chain.node_names().into_iter().map(|name| (name.clone(), chain.node_file(&name)));
    nodes.chain([(SERVER.to_owned(), chain.server_file())]).collect()
}

/// One program reads its file again, with other lines for its keys, and has taken it.
async fn reload(chain: &Chain, name: &str, file: &Path, keys: &str) {
    let text = fs::read_to_string(file).unwrap();
    let kept = text.lines().filter(|line| !line.starts_with("send_key"));
    let lines = kept.map(|line| if line.starts_with("keys =") { keys } else { line });
    fs::write(file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let moment = chain.timeline().now();
    if name == SERVER {
        chain.signal_server(Signal::HUP).unwrap();
    } else {
        chain.signal(name, Signal::HUP).unwrap();
    }
    let source = if name == SERVER { Source::Server } else { Source::Node(name.to_owned()) };
    let taken = |entry: &lab::Entry| match &entry.what {
        What::Said(saying) if entry.source == source && saying.word == "reloaded" => Some(()),
        _ => None,
    };
    let patience = Duration::from_secs(10);
    chain.timeline().wait(moment, patience, format!("{name} has new keys"), taken).await.unwrap();
}

#[tokio::test]
async fn a_key_is_changed_without_a_failover_and_the_new_one_alone_serves_on() {
    let _turn = Turn::take();
    // Any table at all has the nodes started from files.
    let node_tables = "# from a file\n".to_owned();
    let settings = Settings { nodes: 2, node_tables, server_file: true, ..Settings::default() };
    let mut chain = chain_of(settings).await;
    let (old, new) = (chain.key_file(), chain.dir().join("new-key"));
    fs::write(&new, "5f".repeat(16) + &"a1".repeat(16)).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    let held = chain.coordinator();
    let (old, new) = (old.display(), new.display());
    let both = format!("keys = {{ 0 = \"{old}\", 1 = \"{new}\" }}\nsend_key = ");
    let steps = [format!("{both}0"), format!("{both}1"), format!("keys = {{ 1 = \"{new}\" }}")];
    for keys in steps {
        for (name, file) in files(&chain) {
            reload(&chain, &name, &file, &keys).await;
            // Long enough for a lease and every timer of a peer to run out, if anything was wrong.
            tokio::time::sleep(chain.settings().profile.dead_after).await;
            assert_eq!(chain.coordinator(), held, "{name}: {keys}");
        }
    }
    for name in chain.node_names() {
        let status = chain.node_status(&name).unwrap();
        assert_eq!(status["members"][0]["alive"], true, "{status:#}");
        assert_eq!(status["members"][0]["settings_differ"], false, "{status:#}");
    }
    let drill = chain.drill(Kind::Kill).await.unwrap();
    assert!(drill.recovered(), "a claim under the new key: {drill:?}");
    let report = session::conclude(&mut chain, vec![drill], Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 2, "{:?}", report.holders);
}
