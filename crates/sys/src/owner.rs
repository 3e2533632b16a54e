//! Whose a file is to be, by the names that people use.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::str::FromStr;

use libc::{c_char, c_int};

/// An owner, a group or both. Text form as of chown(1): `billing`, `billing:dialout`, `:dialout`,
/// with names or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Owner {
    /// The user's number; `None` leaves it.
    pub user: Option<u32>,
    /// The group's number; `None` leaves it.
    pub group: Option<u32>,
}

/// Why a text is no owner on this machine.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Neither user nor group.
    #[error("an owner is USER, USER:GROUP or :GROUP")]
    Empty,
    /// No such user.
    #[error("this machine has no user `{0}`")]
    NoUser(String),
    /// No such group.
    #[error("this machine has no group `{0}`")]
    NoGroup(String),
    /// The system could not tell.
    #[error("failed to look `{name}` up: {source}")]
    Lookup {
        /// The user or group.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        if user.is_empty() && group.is_empty() {
            return Err(OwnerError::Empty);
        }
        let number = |name: &str, found: fn(&str) -> io::Result<Option<u32>>| {
            if name.is_empty() || name.bytes().all(|b| b.is_ascii_digit()) {
                // The largest number is chown's word for "leave it".
                return Ok(name.parse().ok().filter(|number| *number != u32::MAX));
            }
            found(name).map_err(|source| OwnerError::Lookup { name: name.to_owned(), source })
        };
        let owner = Self { user: number(user, user_id)?, group: number(group, group_id)? };
        if owner.user.is_none() && !user.is_empty() {
            return Err(OwnerError::NoUser(user.to_owned()));
        }
        if owner.group.is_none() && !group.is_empty() {
            return Err(OwnerError::NoGroup(group.to_owned()));
        }
        Ok(owner)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.user {
            write!(f, "{user}")?;
        }
        self.group.map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

fn user_id(name: &str) -> io::Result<Option<u32>> {
    // SAFETY: `find` passes what getpwnam_r asks for: a C string, room for an entry, room for texts
    // and its length, and room for the answer.
    let found = find::<libc::passwd>(name, |name, entry, texts, length, answer| unsafe {
        libc::getpwnam_r(name, entry, texts, length, answer)
    });
    Ok(found?.map(|entry| entry.pw_uid))
}

fn group_id(name: &str) -> io::Result<Option<u32>> {
    // SAFETY: as above, for getgrnam_r.
    let found = find::<libc::group>(name, |name, entry, texts, length, answer| unsafe {
        libc::getgrnam_r(name, entry, texts, length, answer)
    });
    Ok(found?.map(|entry| entry.gr_gid))
}

/// Calls `look` with ever more room. The texts that the entry points to are gone when it returns,
/// its numbers are not.
fn find<T: Copy>(
    name: &str,
    look: impl Fn(*const c_char, *mut T, *mut c_char, usize, *mut *mut T) -> c_int,
) -> io::Result<Option<T>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    let mut room = 1024;
    loop {
        let mut entry = MaybeUninit::<T>::uninit();
        let mut texts = vec![0; room];
        let mut answer = ptr::null_mut();
        let code = look(
            name.as_ptr(),
            entry.as_mut_ptr(),
            texts.as_mut_ptr(),
            texts.len(),
            &raw mut answer,
        );
        match code {
            // SAFETY: an answer that is not null is `entry`, which was filled in.
            0 => return Ok((!answer.is_null()).then(|| unsafe { entry.assume_init() })),
            libc::ERANGE if room < MOST_ROOM => room *= 4,
            // Some name services say so instead of "not found".
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// A group with a hundred thousand members fits.
const MOST_ROOM: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, user, group) in [
            ("root", Some(0), None),
            ("root:root", Some(0), Some(0)),
            (":root", None, Some(0)),
            ("1000:20", Some(1000), Some(20)),
            ("0:", Some(0), None),
        ] {
            assert_eq!(text.parse::<Owner>().unwrap(), Owner { user, group }, "{text}");
        }
        assert_eq!("1000:20".parse::<Owner>().unwrap().to_string(), "1000:20");
        assert_eq!(":20".parse::<Owner>().unwrap().to_string(), ":20");
    }

    #[test]
    fn an_error_names_who_is_missing() {
        for (text, message) in [
            ("", "USER:GROUP"),
            (":", "USER:GROUP"),
            ("no such one", "no user `no such one`"),
            ("root:no such", "no group `no such`"),
            ("4294967295", "no user"),
            ("99999999999", "no user"),
            ("a\0b", "no user"),
        ] {
            let error = text.parse::<Owner>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
