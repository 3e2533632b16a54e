//! A group's keys: several while one replaces another.

use thiserror::Error;

use crate::Key;

/// Most keys of a group at once: a rollover needs two, and one that went wrong a third.
pub const MAX_KEYS: usize = 4;

/// One to [`MAX_KEYS`] keys of different ids, all good for what is received. One signs what is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRing {
    /// The one that signs is the first.
    keys: Vec<Key>,
}

/// Why keys are no key ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyRingError {
    /// There is no key.
    #[error("a group needs a key; make one with: openssl rand -hex 32")]
    Empty,
    /// There are more than [`MAX_KEYS`].
    #[error(
        "{0} keys; a group has at most {MAX_KEYS}: remove those that nobody sends with any more"
    )]
    TooMany(usize),
    /// Two keys have one id.
    #[error("two keys have the number {0}; each needs its own")]
    Twice(u8),
    /// Two ids have one secret, so changing from one to the other changes nothing.
    #[error("keys {0} and {1} are the same secret; make a new one with: openssl rand -hex 32")]
    SameSecret(u8, u8),
    /// No key has the id of the one that shall send.
    #[error("key {0} shall send, and is not among the keys")]
    NoSender(u8),
}

impl KeyRing {
    /// Of these keys; the one with the id `sender` signs.
    pub fn new(mut keys: Vec<Key>, sender: u8) -> Result<Self, KeyRingError> {
        match keys.len() {
            0 => return Err(KeyRingError::Empty),
            1..=MAX_KEYS => {}
            count => return Err(KeyRingError::TooMany(count)),
        }
        for (i, key) in keys.iter().enumerate() {
            for other in &keys[..i] {
                if key.id() == other.id() {
                    return Err(KeyRingError::Twice(key.id()));
                }
                if key.mac(&[]) == other.mac(&[]) {
                    return Err(KeyRingError::SameSecret(other.id(), key.id()));
                }
            }
        }
        let first = keys.iter().position(|key| key.id() == sender);
        keys.swap(0, first.ok_or(KeyRingError::NoSender(sender))?);
        keys[1..].sort_by_key(Key::id);
        Ok(Self { keys })
    }

    /// The key of that id, if the group has it.
    pub fn get(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The key that signs.
    pub fn sender(&self) -> &Key {
        &self.keys[0]
    }

    /// All keys, the one that signs first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// All ids, that of the key which signs first.
    pub fn ids(&self) -> impl Iterator<Item = u8> {
        self.keys.iter().map(Key::id)
    }
}

/// A group of one key.
impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self { keys: vec![key] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> Key {
        Key::new(id, [id; 32])
    }

    #[test]
    fn one_key_signs_and_all_are_known() {
        let ring = KeyRing::new(vec![key(3), key(0), key(9)], 9).unwrap();
        assert_eq!(ring.sender(), &key(9));
        assert_eq!(ring.ids().collect::<Vec<_>>(), [9, 0, 3]);
        assert_eq!((ring.get(0), ring.get(3), ring.get(1)), (Some(&key(0)), Some(&key(3)), None));
        let again = KeyRing::new(vec![key(9), key(3), key(0)], 9).unwrap();
        assert_eq!(again, ring, "the order in a file says nothing");
        assert_eq!(KeyRing::from(key(5)).sender(), &key(5));
    }

    #[test]
    fn keys_that_contradict_each_other_are_told_apart_from_those_that_do_not() {
        let error = |keys: &[Key], sender| KeyRing::new(keys.to_vec(), sender).err();
        assert_eq!(error(&[], 0), Some(KeyRingError::Empty));
        assert_eq!(error(&[key(1), key(2), key(1)], 1), Some(KeyRingError::Twice(1)));
        assert_eq!(error(&[key(1), key(2)], 3), Some(KeyRingError::NoSender(3)));
        let copy = Key::new(2, [1; 32]);
        assert_eq!(error(&[key(1), copy], 1), Some(KeyRingError::SameSecret(1, 2)));
        let many: Vec<_> = (0..5).map(key).collect();
        assert_eq!(error(&many, 0), Some(KeyRingError::TooMany(5)));
        assert_eq!(error(&many[..4], 0), None);
    }
}
