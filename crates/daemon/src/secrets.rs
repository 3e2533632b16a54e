//! Files that hold a secret: read only if nobody else could have.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Exit;

/// Longest secret; a key of the house has 64 characters.
pub const MAX_SECRET: usize = 4096;

/// A file name that begins so means a credential of the service manager's.
pub const CREDENTIAL: &str = "credential:";

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
    /// The service manager gave this process no credentials.
    #[error("{}: $CREDENTIALS_DIRECTORY is not set; was this started by a systemd unit with LoadCredential=?", path.display())]
    NoCredentials {
        /// What was named.
        path: PathBuf,
    },
    /// What follows `credential:` is not the name of a credential.
    #[error("{}: after credential: comes the name that the unit's LoadCredential= gives it, without any /", path.display())]
    NoCredential {
        /// What was named.
        path: PathBuf,
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
/// `credential:NAME` is the file `NAME` in `$CREDENTIALS_DIRECTORY`, where systemd puts what a
/// unit's `LoadCredential=` says, readable by the service only.
///
/// # Errors
/// See [`SecretError`].
pub fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    read_file(&resolve(path, std::env::var_os("CREDENTIALS_DIRECTORY"))?)
}

fn resolve(path: &Path, directory: Option<OsString>) -> Result<Cow<'_, Path>, SecretError> {
    let Some(name) = path.as_os_str().as_bytes().strip_prefix(CREDENTIAL.as_bytes()) else {
        return Ok(path.into());
    };
    if name.is_empty() || name.contains(&b'/') || [&b"."[..], b".."].contains(&name) {
        return Err(SecretError::NoCredential { path: path.to_owned() });
    }
    // An empty one would mean the file system's root.
    let directory = directory.filter(|directory| !directory.is_empty());
    let directory =
        directory.ok_or_else(|| SecretError::NoCredentials { path: path.to_owned() })?;
    Ok(Path::new(&directory).join(OsStr::from_bytes(name)).into())
}

fn read_file(path: &Path) -> Result<Vec<u8>, SecretError> {
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
            SecretError::NoCredentials { .. } | SecretError::NoCredential { .. } => Self::Usage,
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
    fn a_credential_is_a_file_that_systemd_gave_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let given = || Some(dir.path().as_os_str().to_owned());
        let path = Path::new("credential:key");
        assert_eq!(resolve(path, given()).unwrap(), dir.path().join("key"));
        let plain = Path::new("/etc/linekeeper/key");
        assert_eq!(resolve(plain, None).unwrap(), plain);
        for none in [None, Some(OsString::new())] {
            let error = resolve(path, none).unwrap_err();
            assert!(error.to_string().starts_with("credential:key: $CREDENTIALS_DIRECTORY is not"));
            assert_eq!(Exit::from(&error), Exit::Usage);
        }
        for wrong in ["credential:", "credential:..", "credential:../key", "credential:/etc/key"] {
            let error = resolve(Path::new(wrong), given()).unwrap_err();
            assert!(matches!(error, SecretError::NoCredential { .. }), "{error}");
            assert!(error.to_string().starts_with(wrong), "{error}");
        }
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
