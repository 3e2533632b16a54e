//! I7: a standby has its heartbeat socket and its status socket, and nothing runs beside it.

use std::fs;

use lab::session;
use sys::process::descendants;

use crate::common::{Turn, assert_clean, chain};

/// The sockets of a process.
#[derive(Debug, Default)]
struct Sockets {
    /// Local addresses of TCP sockets, listening or not.
    tcp: Vec<String>,
    /// Local addresses of UDP sockets.
    udp: Vec<String>,
    /// Paths of Unix sockets that have one.
    unix: Vec<String>,
    /// Descriptors of anything but sockets and the kernel's nameless helpers.
    files: Vec<String>,
}

fn sockets(pid: u32) -> Sockets {
    let mut sockets = Sockets::default();
    let tables = [("tcp", 9, 1), ("tcp6", 9, 1), ("udp", 9, 1), ("unix", 6, 7)];
    let tables = tables.map(|(table, inode, name)| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let rows = text.lines().skip(1).map(|row| {
            let words: Vec<_> = row.split_whitespace().collect();
            let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
            (word(inode), word(name))
        });
        (table, rows.collect::<Vec<_>>())
    });
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        // What whoever started the tests has left open is nobody's doing here.
        let ours = fs::read_link(format!("/proc/self/fd/{}", entry.file_name().display()));
        if ours.is_ok_and(|ours| ours == target) {
            continue;
        }
        let target = target.to_string_lossy().into_owned();
        let Some(inode) = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')) else {
            if !target.starts_with("anon_inode:") {
                sockets.files.push(target);
            }
            continue;
        };
        for (table, rows) in &tables {
            for (_, name) in rows.iter().filter(|(other, _)| other == inode) {
                match *table {
                    "udp" => sockets.udp.push(name.clone()),
                    // Pairs without a name are a runtime's own, for signals.
                    "unix" if name.is_empty() => {}
                    "unix" => sockets.unix.push(name.clone()),
                    _ => sockets.tcp.push(name.clone()),
                }
            }
        }
    }
    sockets
}

#[tokio::test]
async fn i7_a_standby_runs_nothing_and_holds_only_heartbeat_and_status_socket() {
    let _turn = Turn::take();
    let mut chain = chain(3).await;
    let held = chain.coordinator().unwrap();
    for name in chain.node_names().iter().filter(|name| **name != held.node) {
        let pid = chain.node_pid(name).unwrap();
        let sockets = sockets(pid);
        println!("{name}, a standby: {sockets:?}");
        assert_eq!(descendants(pid), Vec::<u32>::new(), "{name} runs something");
        assert_eq!(sockets.tcp, [""; 0], "{name} is connected");
        let [heartbeats] = &sockets.udp[..] else { panic!("{name}: {:?}", sockets.udp) };
        let port = format!(":{:04X}", chain.place().multicast.port());
        assert!(heartbeats.ends_with(&port), "{name}: {heartbeats}");
        let [status] = &sockets.unix[..] else { panic!("{name}: {:?}", sockets.unix) };
        assert!(status.contains(&format!("{name}.status")), "{name}: {status}");
        // Standard streams: nothing, nothing, the log. No device, no other file.
        let odd = |file: &&String| *file != "/dev/null" && !file.starts_with("pipe:[");
        assert_eq!(sockets.files.iter().filter(odd).count(), 0, "{:?}", sockets.files);
    }
    // And the test sees what there is to see: the coordinator has all of it.
    let pid = chain.node_pid(&held.node).unwrap();
    assert_eq!(sockets(pid).tcp.len(), 1);
    let family = descendants(pid);
    assert_eq!(family.len(), 2, "guard and payload");
    for pid in family {
        let sockets = sockets(pid);
        assert_eq!((sockets.tcp.len(), sockets.udp.len()), (0, 0), "a duplicate delays the FIN");
    }
    assert_clean(&session::conclude(&mut chain, Vec::new(), Vec::new()).await);
}
