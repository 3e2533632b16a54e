//! Nodes of the release before and of this one in one group.
//!
//! `LINEKEEPER_OLD_NODE` names the `failover-node` of the release before; without it there is nothing
//! to be tried.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Chain, Drill, Kind, Programs, Settings, Timeline, session};

use crate::common::{BUSY, Turn, assert_clean, measured, programs};

/// Starts the node of the release before for the names in a file, and this release's for all others.
struct Releases {
    dir: tempfile::TempDir,
    programs: Programs,
    old_node: PathBuf,
}

impl Releases {
    fn new(old_node: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chooser = dir.path().join("failover-node");
        let script = format!(
            "#!/bin/sh\nname= previous=\nfor argument; do\n\
             [ \"$previous\" = --node ] && name=$argument\nprevious=$argument\ndone\n\
             grep -qsx \"$name\" '{old_names}' && exec '{old}' \"$@\"\nexec '{new}' \"$@\"\n",
            old_names = dir.path().join("old").display(),
            old = old_node.display(),
            new = programs().failover_node.display(),
        );
        fs::write(&chooser, script).unwrap();
        fs::set_permissions(&chooser, PermissionsExt::from_mode(0o755)).unwrap();
        let programs = Programs { failover_node: chooser, ..programs().clone() };
        Self { dir, programs, old_node: old_node.canonicalize().unwrap() }
    }

    /// Whoever of these is started from now on is of the release before.
    fn set_old(&self, names: &[&str]) {
        fs::write(self.dir.path().join("old"), names.join("\n") + "\n").unwrap();
    }

    async fn chain(&self, nodes: usize, old: &[&str]) -> Chain {
        self.set_old(old);
        let settings = Settings { nodes, ..Settings::default() };
        let mut chain = Chain::lay(settings, &self.programs, Timeline::default()).await.unwrap();
        session::begin(&mut chain).await.unwrap();
        chain
    }

    /// Of which release a running node is, by the program that it runs.
    fn release(&self, chain: &Chain, node: &str) -> &'static str {
        let exe = format!("/proc/{}/exe", chain.node_pid(node).unwrap());
        if fs::read_link(exe).unwrap() == self.old_node { "old" } else { "new" }
    }

    /// Does a drill. Who took the line from whom is the first of what it gives back.
    async fn drill(&self, chain: &mut Chain, kind: Kind) -> (String, Drill) {
        let from = self.release(chain, &chain.coordinator().unwrap().node);
        let drill = chain.drill(kind).await.unwrap();
        let after = drill.after.clone().unwrap();
        let change = format!("from {from} to {}", self.release(chain, &after.node));
        println!("{kind:?}: {change}, unserved {:.1?}", drill.unserved);
        assert!(drill.recovered(), "{drill:?}");
        assert_ne!(after.node, drill.before.node, "{drill:?}");
        if let Some(unserved) = drill.unserved {
            assert!(unserved <= Duration::from_millis(150) + BUSY, "{drill:?}");
        }
        (change, drill)
    }
}

fn old_node() -> Option<PathBuf> {
    let old = std::env::var_os("LINEKEEPER_OLD_NODE").map(PathBuf::from);
    if old.is_none() {
        println!("skipped: needs LINEKEEPER_OLD_NODE");
    }
    old
}

/// Whether `observer` hears `peer` and believes it at this moment.
fn hears(chain: &Chain, observer: &str, peer: &str) -> bool {
    let status = chain.node_status(observer).unwrap();
    let members = status["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["node"] == peer);
    member.and_then(|m| m["heard_ms"].as_u64()).is_some_and(|heard| heard < 1000)
}

/// Each takes the line from the other by a kill, by a planned hand-over, and after a rollback.
#[tokio::test]
async fn an_old_node_and_a_new_one_take_the_line_from_each_other() {
    let Some(old) = old_node() else { return };
    let _turn = Turn::take();
    let releases = Releases::new(&old);
    let mut chain = releases.chain(2, &["node-a"]).await;
    let mut drills = Vec::new();
    let mut changes = BTreeSet::new();
    for kind in [Kind::Kill, Kind::Kill, Kind::HandOver, Kind::HandOver, Kind::Kill, Kind::Kill] {
        let (change, drill) = releases.drill(&mut chain, kind).await;
        changes.insert((kind == Kind::Kill, change));
        drills.push(drill);
        assert!(hears(&chain, "node-a", "node-b") && hears(&chain, "node-b", "node-a"));
    }
    let ways = ["from new to old", "from old to new"].map(str::to_owned);
    let both = ways.iter().flat_map(|way| [(false, way.clone()), (true, way.clone())]).collect();
    assert_eq!(changes, both, "kill and hand-over in both directions");
    // The new one goes back, the old one forward.
    releases.set_old(&["node-b"]);
    for _ in 0..4 {
        drills.push(releases.drill(&mut chain, Kind::Kill).await.1);
    }
    let moves = drills.len();
    let report = session::conclude(&mut chain, drills, Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 1 + moves, "no failover beside those asked for");
    for kind in &report.kinds {
        measured(&format!("{:?}, unserved", kind.kind), kind.unserved.unwrap(), "150 ms worst");
    }
}

/// Node after node, standbys first, as an operator would; and a standby's restart moves nothing.
#[tokio::test]
async fn a_group_is_updated_node_by_node_and_loses_nothing() {
    let Some(old) = old_node() else { return };
    let _turn = Turn::take();
    let releases = Releases::new(&old);
    let mut chain = releases.chain(3, &["node-a", "node-b", "node-c"]).await;
    let first = chain.coordinator().unwrap().node;
    let standbys: Vec<_> = chain.node_names().into_iter().filter(|name| *name != first).collect();
    for (updated, left) in [(0, vec![&first[..], &standbys[1]]), (1, vec![&first[..]])] {
        releases.set_old(&left);
        chain.kill9(&standbys[updated]).unwrap();
        chain.start_node(&standbys[updated]).await.unwrap();
        chain.settle().await;
        assert_eq!(chain.coordinator().unwrap().node, first, "a standby's restart moves nothing");
    }
    let (way, handed) = releases.drill(&mut chain, Kind::HandOver).await;
    assert_eq!(way, "from old to new");
    releases.set_old(&[]);
    chain.kill9(&first).unwrap();
    chain.start_node(&first).await.unwrap();
    let (way, killed) = releases.drill(&mut chain, Kind::Kill).await;
    assert_eq!(way, "from new to new");
    let report = session::conclude(&mut chain, vec![handed, killed], Vec::new()).await;
    assert_clean(&report);
    assert_eq!(report.holders.tenures.len(), 3, "{:?}", report.holders.tenures);
}

/// The terminal server of this release serves a group of both; the incumbent, old or new, is
/// preferred after its restart.
#[tokio::test]
async fn a_restarted_terminal_server_is_found_by_nodes_of_both_releases() {
    let Some(old) = old_node() else { return };
    let _turn = Turn::take();
    let releases = Releases::new(&old);
    let mut chain = releases.chain(2, &["node-a"]).await;
    let mut drills = Vec::new();
    for _ in 0..2 {
        let restarted = chain.drill(Kind::RestartServer).await.unwrap();
        assert_eq!(restarted.after.as_ref().unwrap().node, restarted.before.node);
        drills.push(restarted);
        drills.push(releases.drill(&mut chain, Kind::HandOver).await.1);
    }
    let report = session::conclude(&mut chain, drills, Vec::new()).await;
    assert_clean(&report);
}
