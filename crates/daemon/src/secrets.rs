//! Files that hold a secret: read only if nobody else could have.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Exit;

/// Longest secret; a key of the house has 64 characters.
pub const MAX_SECRET: usize = 4096;

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read or change it, so it may be no secret.
    #[error("{}: mode {mode:04o} lets others at it; try: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user can change it at will.
    #[error("{}: it belongs to user {owner}; it must belong to user {user}, who runs this, or to root", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who reads it.
        user: u32,
    },
    /// A directory, a device, or far too long.
    #[error("{}: no file of at most {MAX_SECRET} bytes", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
}

/// The content of a file that belongs to this user or to root, and that nobody else can read or
/// write: as strict as ssh with its keys, because whoever has the group's key can take the line.
/// A group may read it where root owns it, as services of one machine share a secret.
///
/// # Errors
/// See [`SecretError`].
pub fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // Of the open file, not of the name, which could mean another one by now.
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.len() > MAX_SECRET as u64 {
        return Err(SecretError::NoFile { path: path.to_owned() });
    }
    let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
    let user = std::fs::metadata("/proc/self").map_err(failed)?.uid();
    if owner != user && owner != 0 {
        return Err(SecretError::Owner { path: path.to_owned(), owner, user });
    }
    let forbidden = if owner == 0 && user != 0 { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let mut content = Vec::new();
    file.take(MAX_SECRET as u64).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

impl From<&SecretError> for Exit {
    fn from(error: &SecretError) -> Self {
        match error {
            SecretError::Io { .. } | SecretError::NoFile { .. } => Self::NoInput,
            SecretError::Open { .. } | SecretError::Owner { .. } => Self::Permission,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).is_ok(), fine, "{mode:o}");
        }
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("mode 0604 lets others at it; try: chmod 600"));
        assert_eq!(Exit::from(&error), Exit::Permission);
    }

    #[test]
    fn what_is_no_file_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(SecretError::NoFile { .. })));
        assert!(matches!(read(Path::new("/dev/zero")), Err(SecretError::NoFile { .. })));
        let missing = read(&dir.path().join("missing")).unwrap_err();
        assert_eq!(Exit::from(&missing), Exit::NoInput);
    }
}
