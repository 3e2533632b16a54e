//! Who shall own a file: `billing`, `billing:dialout`, `1000:20`, `:dialout`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::str::FromStr;

/// Ids for chown(2); what is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

impl FromStr for Owner {
    type Err = String;

    /// A user alone leaves the group as it is. Names are looked up in this machine's own files and
    /// not on the network, where a look-up may hang.
    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        if user.is_empty() && group.is_empty() {
            return Err("give a user, user:group or :group, by name or number".to_owned());
        }
        Ok(Self { uid: id_of(user, "user", USERS)?, gid: id_of(group, "group", GROUPS)? })
    }
}

impl Owner {
    /// Gives a file its owner and mode, the owner first: the mode may be meant to shut others out.
    ///
    /// # Errors
    /// The system refused; to give files away takes root, or CAP_CHOWN.
    pub fn apply(self, mode: Option<u32>, path: &Path) -> io::Result<()> {
        if self != Self::default() {
            chown(path, self.uid, self.gid)?;
        }
        match mode {
            Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
            None => Ok(()),
        }
    }
}

/// A file's mode as people write it: `660`, `0660`.
///
/// # Errors
/// What to give instead, for clap to print.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "give an octal mode from 0 to 0777, as in 0660".to_owned())
}

fn id_of(name: &str, what: &str, file: &str) -> Result<Option<u32>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let table = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let found = find(&table, name);
    found.map(Some).ok_or_else(|| format!("{file} has no {what} `{name}`; give its number instead"))
}

/// The third field of the line that begins with `name`, as both files have it.
fn find(table: &str, name: &str) -> Option<u32> {
    let mut fields = table.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?)
}

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn owners_are_names_or_numbers() {
        let owner = |uid, gid| Ok(Owner { uid, gid });
        assert_eq!("1000".parse::<Owner>(), owner(Some(1000), None));
        assert_eq!("1000:20".parse::<Owner>(), owner(Some(1000), Some(20)));
        assert_eq!(":20".parse::<Owner>(), owner(None, Some(20)));
        assert_eq!("root:root".parse::<Owner>(), owner(Some(0), Some(0)));
        let error = "no-such-user".parse::<Owner>().unwrap_err();
        assert_eq!(error, "/etc/passwd has no user `no-such-user`; give its number instead");
        for nobody in ["", ":"] {
            assert!(nobody.parse::<Owner>().is_err(), "{nobody:?}");
        }
    }

    #[test]
    fn the_whole_name_counts_and_broken_lines_do_not() {
        let table = "\nroot2:x:7:\nroot\nroot:x\nroot:x:many:\nbilling:x:1001:20::/:/bin/sh\n";
        assert_eq!(find(table, "root"), None);
        assert_eq!(find(table, "root2"), Some(7));
        assert_eq!(find(table, "billing"), Some(1001));
        assert_eq!(find(table, ""), None);
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0660"), Ok(0o660));
        assert_eq!(parse_mode("600"), Ok(0o600));
        for wrong in ["", "rw", "0o660", "1000", "-1", "888"] {
            assert!(parse_mode(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_gets_its_mode_and_keeps_its_owner() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before = file.path().metadata().unwrap();
        Owner::default().apply(Some(0o640), file.path()).unwrap();
        let after = file.path().metadata().unwrap();
        assert_eq!(after.mode() & 0o777, 0o640);
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        let mine = Owner { uid: Some(after.uid()), gid: Some(after.gid()) };
        mine.apply(None, file.path()).unwrap();
    }
}
