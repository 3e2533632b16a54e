//! Where a store's file may be: on a disk of this host, in a directory that is there.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use daemon::Exit;

use super::StoreError;

/// Makes an empty file if there is none, so that it has the right mode from its first moment; SQLite
/// gives the same mode to the files beside it.
///
/// # Errors
/// Those of [`check`]; it can't be made.
pub(super) fn prepare(file: &Path) -> Result<(), StoreError> {
    let directory = directory(file);
    if !directory.is_dir() {
        return Err(place(
            file,
            format!("there is no directory {}; make it first", directory.display()),
            Exit::CannotCreate,
        ));
    }
    refuse_network(file, directory)?;
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(file),
        Err(error) => Err(StoreError::io(file, "it can't be made", &error)),
    }
}

/// Checks a file that must be there.
///
/// # Errors
/// It is not there, is no file, or may be somebody else's at the same time (a network).
pub(super) fn check(file: &Path) -> Result<(), StoreError> {
    let real = match fs::canonicalize(file) {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(place(file, "there is no such store".to_owned(), Exit::NoInput));
        }
        Err(error) => return Err(StoreError::io(file, "it can't be found", &error)),
    };
    if !real.is_file() {
        return Err(place(file, "it is no ordinary file".to_owned(), Exit::Usage));
    }
    refuse_network(file, directory(&real))
}

fn refuse_network(file: &Path, directory: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statfs(directory)
        .map_err(|error| StoreError::io(file, "its file system is unknown", &error.into()))?;
    // The word is signed on some machines and wider on others; the numbers have 32 bits.
    let Some(name) = network(stat.f_type as u32) else { return Ok(()) };
    let why = format!(
        "{} is on {name}, where SQLite's locks and shared memory do not hold between hosts; give \
         each host a store on a disk of its own",
        directory.display()
    );
    Err(place(file, why, Exit::Usage))
}

fn network(magic: u32) -> Option<&'static str> {
    NETWORKS.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn place(file: &Path, why: String, exit: Exit) -> StoreError {
    StoreError::Place { file: file.to_owned(), why, exit }
}

/// The owner writes, the group may look.
const MODE: u32 = 0o640;

/// File systems that several hosts may write at once, or whose other end is unknown, by the kernel's
/// numbers for them.
const NETWORKS: [(u32, &str); 20] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564c, "NCP"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "a VirtualBox share"),
    (0xbacb_acbc, "a VMware share"),
    (0x7c7c_6673, "a Parallels share"),
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_not_for_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store");
        prepare(&file).unwrap();
        prepare(&file).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = prepare(&dir.path().join("no/store")).unwrap_err();
        assert!(error.to_string().contains("/no; make it first"), "{error}");
        assert_eq!(error.exit(), Exit::CannotCreate);
        let error = check(&dir.path().join("store")).unwrap_err();
        assert_eq!(error.exit(), Exit::NoInput);
        let error = prepare(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("it is no ordinary file"), "{error}");
    }

    #[test]
    fn networks_are_told_from_disks_by_the_number_of_the_file_system() {
        for (magic, name) in [(0x6969, "NFS"), (0xfe53_4d42, "SMB"), (0x6573_5546, "FUSE")] {
            assert_eq!(network(magic), Some(name));
        }
        for (magic, name) in [(0xef53, "ext4"), (0x5846_5342, "XFS"), (0x9123_683e, "btrfs")] {
            assert_eq!(network(magic), None, "{name}");
        }
    }
}
