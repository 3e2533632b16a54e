//! Digests of the settings that all nodes of a group must share. A node that differs would break
//! its promises to the others.

use crate::{Key, KeyRing};

/// The digests that one node's settings have.
///
/// They are made under a key, so that they tell a stranger nothing; and so there is one for each
/// key that a peer may send with while keys are changed, and one more for each as the release
/// before made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// For heartbeats of version 2.
    pub current: u64,
    /// For heartbeats of version 1.
    pub version_1: u64,
    known: Vec<u64>,
}

impl Digests {
    /// Of settings as text; `settings_1` is that of version 1: the name of the line that is the
    /// group's lock, a space, and the profile.
    pub fn new(keys: &KeyRing, settings: &str, settings_1: &str) -> Self {
        let known = keys.iter().flat_map(|key| [of(key, settings), of_1(key, settings_1)]);
        let (current, version_1) = (of(keys.sender(), settings), of_1(keys.sender(), settings_1));
        Self { current, version_1, known: known.collect() }
    }

    /// Whether a peer with this digest has the same settings, whichever of our keys it sends with.
    #[must_use]
    pub fn knows(&self, digest: u64) -> bool {
        self.known.contains(&digest)
    }
}

fn of(key: &Key, settings: &str) -> u64 {
    first(&key.mac(&[b"linekeeper 2 settings", settings.as_bytes()]))
}

/// The versions of line protocol and datagrams were part of it, which made an alarm of every
/// update.
fn of_1(key: &Key, settings: &str) -> u64 {
    first(&key.mac(&[b"linekeeper 1 settings", &[2, 1], settings.as_bytes()]))
}

fn first(mac: &crate::Mac) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *mac;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> Key {
        Key::new(id, [id; 32])
    }

    fn ring(ids: &[u8], sender: u8) -> KeyRing {
        KeyRing::new(ids.iter().map(|id| key(*id)).collect(), sender).unwrap()
    }

    /// The three steps of a rollover, with nodes before and after each of them.
    #[test]
    fn a_change_of_keys_is_no_change_of_settings() {
        let of = |ids: &[u8], sender| Digests::new(&ring(ids, sender), "a b 100/400/450", "a 1");
        let steps = [of(&[0], 0), of(&[0, 1], 0), of(&[0, 1], 1), of(&[1], 1)];
        for pair in steps.windows(2) {
            let [before, after] = pair else { panic!("two") };
            for (mine, peer) in [(before, after), (after, before)] {
                assert!(mine.knows(peer.current) && mine.knows(peer.version_1));
            }
        }
        assert!(!steps[0].knows(steps[3].current), "they have no key in common");
    }

    #[test]
    fn other_settings_are_told_apart_in_both_versions() {
        let mine = Digests::new(&ring(&[0], 0), "a b 1", "a 1");
        let same_lock = Digests::new(&ring(&[0], 0), "a c 1", "a 1");
        assert!(!mine.knows(same_lock.current), "another line");
        assert!(mine.knows(same_lock.version_1), "version 1 knows of one line only");
        let other = Digests::new(&ring(&[0], 0), "a b 2", "a 2");
        assert!(!mine.knows(other.current) && !mine.knows(other.version_1));
    }

    /// Of what the release before computed for the line `pms` and the profile 100/400/450 under
    /// this key.
    #[test]
    fn the_digest_of_version_1_is_that_of_the_release_before() {
        let key = Key::new(0, *b"0123456789abcdef0123456789abcdef");
        let digests = Digests::new(&key.into(), "pms 100/400/450", "pms 100/400/450");
        assert_eq!(digests.version_1, 0x69cc_c863_9d8b_7bfa);
    }
}
