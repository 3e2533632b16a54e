//! The group's key and the HMAC-SHA-256 (RFC 2104, FIPS 198-1) made with it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// A 32-byte secret shared by the nodes of a group and the terminal server's lines for it.
#[derive(Clone)]
pub struct Key {
    id: u8,
    hmac: Hmac<Sha256>,
}

/// An HMAC-SHA-256.
pub type Mac = [u8; MAC_LEN];

/// Bytes of a [`Mac`].
pub const MAC_LEN: usize = 32;

/// Why a key file's content is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Neither 64 hex digits nor 32 bytes.
    #[error(
        "a key is 64 hex digits or 32 raw bytes, this is {0} bytes; make one with: openssl rand -hex 32"
    )]
    BadLength(usize),
    /// 64 characters, but not all hex digits.
    #[error("a key of 64 characters must be hex digits only")]
    NotHex,
    /// A key of one repeated byte is a placeholder, not a secret.
    #[error("all bytes of the key are equal; make one with: openssl rand -hex 32")]
    Weak,
}

impl Key {
    /// From the secret's bytes. `id` tells keys apart during a rollover.
    pub fn new(id: u8, secret: [u8; 32]) -> Self {
        // HMAC takes a key of any length, so the error arm cannot be reached.
        let hmac = Hmac::<Sha256>::new_from_slice(&secret).expect("HMAC takes any key length");
        Self { id, hmac }
    }

    /// From a key file's content: 64 hex digits (white space around them is ignored) or 32 bytes.
    pub fn from_file_content(id: u8, content: &[u8]) -> Result<Self, KeyError> {
        let text = content.trim_ascii();
        let secret: [u8; 32] = match (text.len(), content.len()) {
            (64, _) => unhex(text).ok_or(KeyError::NotHex)?,
            (_, 32) => content.try_into().map_err(|_| KeyError::BadLength(content.len()))?,
            (_, other) => return Err(KeyError::BadLength(other)),
        };
        if secret.iter().all(|b| *b == secret[0]) {
            return Err(KeyError::Weak);
        }
        Ok(Self::new(id, secret))
    }

    /// Tells keys apart during a rollover; travels in clear.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The MAC over `parts`, one after the other. Callers make the split unambiguous.
    pub fn mac(&self, parts: &[&[u8]]) -> Mac {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether `mac` is the MAC over `parts`, in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], mac: &Mac) -> bool {
        self.over(parts).verify_slice(mac).is_ok()
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut hmac = self.hmac.clone();
        parts.iter().for_each(|part| hmac.update(part));
        hmac
    }
}

/// Of the same secret and id. Not for deciding about anything received: that is [`Key::verify`].
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.mac(&[]) == other.mac(&[])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(id {}, secret)", self.id)
    }
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4231_case_2_shape_holds_over_split_parts() {
        let key = Key::new(0, *b"0123456789abcdef0123456789abcdef");
        assert_eq!(key.mac(&[b"what do ya ", b"want"]), key.mac(&[b"what do ya want"]));
        assert!(key.verify(&[b"x"], &key.mac(&[b"x"])));
        assert!(!key.verify(&[b"x"], &key.mac(&[b"y"])));
    }

    #[test]
    fn key_files_are_hex_or_raw() {
        let hex = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F\n";
        let raw: [u8; 32] = std::array::from_fn(|i| i as u8);
        let a = Key::from_file_content(0, hex).unwrap();
        let b = Key::from_file_content(0, &raw).unwrap();
        assert_eq!(a.mac(&[b"x"]), b.mac(&[b"x"]));
        assert_eq!(Key::from_file_content(0, b"short").err(), Some(KeyError::BadLength(5)));
        assert_eq!(Key::from_file_content(0, &[b'g'; 64]).err(), Some(KeyError::NotHex));
        assert_eq!(Key::from_file_content(0, &[7; 32]).err(), Some(KeyError::Weak));
        assert!(!format!("{a:?}").contains("0001"), "the secret is never printed");
    }
}
