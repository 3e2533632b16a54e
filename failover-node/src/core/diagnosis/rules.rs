//! When which finding is true, and what it says.

use wire::Time;

use super::{Code, Facts, PathFacts, PeerFacts, RECENT};

/// A condition that holds: what, about whom, in words.
pub(super) type Held = (Code, String, String);

/// All conditions that hold. `shown` tells whether something is a finding already.
pub(super) fn hold(facts: &Facts<'_>, now: Time, shown: impl Fn(Code, &str) -> bool) -> Vec<Held> {
    let mut held = Vec::new();
    let alive: Vec<_> = facts.peers.iter().filter(|peer| peer.is_alive(facts, now)).collect();
    for peer in &alive {
        held.extend(unicast_only(facts, peer, now));
        held.extend(one_way(facts, peer));
        held.extend(path_loss(facts, peer, now, &shown));
        held.extend(settings_differ(peer));
    }
    held.extend(path_dead(facts, &alive, now));
    held.extend(refused(facts, now));
    held.extend(no_beacons(facts, &alive, now));
    held.extend(alone(facts, &alive, now));
    held
}

/// Heard by unicast, but not by the multicast of the same network.
fn unicast_only(facts: &Facts<'_>, peer: &PeerFacts<'_>, now: Time) -> Vec<Held> {
    let mut held = Vec::new();
    for (number, path) in facts.paths.iter().enumerate().filter(|(_, path)| !path.unicast) {
        let siblings = facts
            .paths
            .iter()
            .enumerate()
            .filter(|(_, other)| other.unicast && other.network == path.network);
        let unicast = siblings.into_iter().any(|(n, _)| is_heard(facts, peer, n, now));
        if unicast && is_silent(facts, path, peer, number, now) {
            let (node, name) = (&peer.heartbeat.node, path.name);
            let words = format!(
                "{node} is heard by unicast but not by multicast ({name}): a switch with IGMP or MLD \
                 snooping and no querier, or a cloud that carries no multicast. Turn on a querier \
                 or turn snooping off; where there is no multicast, configure unicast peers alone"
            );
            held.push((Code::UnicastOnly, format!("{node} by {name}"), words));
        }
    }
    held
}

/// It is heard, and says that it does not hear us.
fn one_way(facts: &Facts<'_>, peer: &PeerFacts<'_>) -> Option<Held> {
    let echo = peer.heartbeat.peers.iter().find(|echo| echo.node == *facts.node);
    let heard = echo.map(|echo| std::time::Duration::from_millis(echo.heard_ms.into()));
    if heard.is_some_and(|heard| heard <= facts.dead_after) {
        return None;
    }
    let node = &peer.heartbeat.node;
    let words = format!(
        "{node} is heard, and says that it does not hear this node: datagrams pass in one \
         direction only. Look at {node}'s firewall (UDP), at its interface and group, and at the \
         switch between"
    );
    Some((Code::OneWay, node.to_string(), words))
}

fn path_loss(
    facts: &Facts<'_>,
    peer: &PeerFacts<'_>,
    now: Time,
    shown: impl Fn(Code, &str) -> bool,
) -> Vec<Held> {
    let mut held = Vec::new();
    for view in &peer.paths {
        let Some(path) = facts.paths.get(view.path) else { continue };
        if view.of < ENOUGH || now.since(view.heard) >= facts.quiet() {
            continue;
        }
        let node = &peer.heartbeat.node;
        let about = format!("{node} by {}", path.name);
        let much = if shown(Code::PathLoss, &about) { LOSS_STAYS } else { LOSS_COMES };
        if view.loss_percent > much {
            let words = format!(
                "{} % of what {node} sends is lost on {}. Look at the cable, at duplex and error \
                 counters of the switch port (ip -s link), and at the load of both hosts",
                view.loss_percent, path.name
            );
            held.push((Code::PathLoss, about, words));
        }
    }
    held
}

/// Nodes that live were heard by it before, and none is any more.
fn path_dead(facts: &Facts<'_>, alive: &[&PeerFacts<'_>], now: Time) -> Vec<Held> {
    let mut held = Vec::new();
    for (number, path) in facts.paths.iter().enumerate() {
        let mut known = alive.iter().filter(|peer| peer.by_path(number).is_some()).peekable();
        let is_known = known.peek().is_some();
        let silent = known.all(|peer| is_silent(facts, path, peer, number, now));
        // Then it is said as `unicast-only`, which knows more.
        let unicast = !path.unicast
            && facts.paths.iter().enumerate().any(|(n, other)| {
                let sibling = other.unicast && other.network == path.network;
                sibling && alive.iter().any(|peer| is_heard(facts, peer, n, now))
            });
        if is_known && silent && !unicast {
            let words = format!(
                "nobody is heard by {} any more, while other paths carry on: the next failure may \
                 cut this node off. Look at the cable, the switch and the firewall of this path",
                path.name
            );
            held.push((Code::PathDead, path.name.to_owned(), words));
        }
    }
    held
}

fn settings_differ(peer: &PeerFacts<'_>) -> Option<Held> {
    let node = &peer.heartbeat.node;
    let words = || {
        format!(
            "{node} has other shared settings (lines or profile) than this node, so the promises \
             of the group do not hold. Compare the files of both with check-config"
        )
    };
    peer.settings_differ.then(|| (Code::SettingsDiffer, node.to_string(), words()))
}

/// What strangers and misconfigured members send.
fn refused(facts: &Facts<'_>, now: Time) -> Vec<Held> {
    let recent = facts.refusals.iter().filter(|refusal| now.since(refusal.last) < RECENT);
    let held = recent.filter_map(|refusal| {
        let (about, why) = (refusal.about, refusal.why);
        let (code, words) = match refusal.cause {
            "group" => (
                Code::ForeignGroup,
                format!(
                    "group {about} uses the same multicast address and port. It does no harm, but \
                     costs both groups bandwidth: give each group an address or port of its own"
                ),
            ),
            "mac" => (
                Code::WrongKey,
                format!(
                    "{about} sends under this group's name with another key, or somebody changes \
                     datagrams. Compare the key files, or find out who {about} is"
                ),
            ),
            "key_id" => (
                Code::KeyId,
                format!(
                    "{about} uses a key that this node has not: {why}. In a rollover, give every \
                     node and terminal server the new key before the first one sends with it"
                ),
            ),
            "ttl" => (
                Code::Routed,
                format!(
                    "datagrams from {about} came through a router, or were made to look so, and are \
                     refused. Put the nodes on one network, or set routed = true for this one"
                ),
            ),
            "version" => (
                Code::Version,
                format!("{about}: {why}. Upgrade one release at a time, all nodes of the group"),
            ),
            _ => return None,
        };
        Some((code, about.to_owned(), words))
    });
    held.collect()
}

/// Another process has our name.
pub(super) fn duplicate_name(facts: &Facts<'_>) -> Held {
    let node = facts.node;
    let words = format!(
        "another process sends heartbeats as {node}; nobody can tell the two apart. Give one of \
         them another name, or stop the one that was left running"
    );
    (Code::DuplicateName, node.to_string(), words)
}

/// Somebody holds the line, and its terminal server is not heard.
fn no_beacons(facts: &Facts<'_>, alive: &[&PeerFacts<'_>], now: Time) -> Option<Held> {
    let holder = alive.iter().find(|peer| peer.is_coordinator());
    let holder = holder.map(|peer| &peer.heartbeat.node);
    let holder = holder.or_else(|| facts.coordinator.then_some(facts.node))?;
    if now.since(facts.beacon.unwrap_or(facts.started)) < facts.quiet() {
        return None;
    }
    let hears = alive.iter().find(|peer| peer.heartbeat.hears_beacons);
    let hint = match hears {
        Some(peer) => format!(
            "{} hears them, so look at this host: its interface, group and firewall",
            peer.heartbeat.node
        ),
        None => "no node hears them, so look at the terminal server: are its beacons sent to this \
                 group, on this network, with this key?"
            .to_owned(),
    };
    let words = format!(
        "{holder} holds the line, but no beacon of the terminal server is heard: a failure is \
         noticed by missing heartbeats only, which takes longer. {hint}"
    );
    Some((Code::NoBeacons, "terminal server".to_owned(), words))
}

fn alone(facts: &Facts<'_>, alive: &[&PeerFacts<'_>], now: Time) -> Option<Held> {
    let heard = facts.peers.iter().map(|peer| peer.heard).max();
    let quiet = now.since(heard.unwrap_or(facts.started).max(facts.started));
    if !alive.is_empty() || quiet < facts.quiet() {
        return None;
    }
    let beacons = facts.beacon.is_some_and(|at| now.since(at) < facts.quiet());
    let refused = facts.refusals.iter().any(|refusal| now.since(refusal.last) < RECENT);
    let hint = if facts.paths.iter().all(|path| path.open.is_none()) {
        "no network is there: look at this host's interfaces"
    } else if refused {
        "datagrams come and are refused; the other findings say why"
    } else if beacons {
        "beacons are heard, so the network works: do the other nodes run, with this group and port?"
    } else {
        "nothing at all is heard: look at this host's interface, cable and firewall (UDP)"
    };
    let words = format!("no other node is heard, so nobody could take over from this one; {hint}");
    Some((Code::Alone, facts.node.to_string(), words))
}

fn is_heard(facts: &Facts<'_>, peer: &PeerFacts<'_>, path: usize, now: Time) -> bool {
    peer.by_path(path).is_some_and(|view| now.since(view.heard) < facts.lately())
}

/// Open for long enough, and not heard by it.
fn is_silent(
    facts: &Facts<'_>,
    path: &PathFacts<'_>,
    peer: &PeerFacts<'_>,
    number: usize,
    now: Time,
) -> bool {
    let heard = peer.by_path(number).map(|view| view.heard);
    let since = path.open.max(heard);
    since.is_some_and(|since| now.since(since) >= facts.quiet())
}

/// More than so many percent make a finding, and fewer end it.
const LOSS_COMES: u8 = 10;
const LOSS_STAYS: u8 = 5;
/// Fewer heartbeats prove nothing about loss.
const ENOUGH: u8 = 32;
