//! Where keys come from: files that nobody else can read, and credentials of the service manager.

use std::path::Path;

use daemon::secrets::{self, SecretError};

/// Gives the content of a key by the text that names it, or says why not. `None`: it cannot be
/// looked at here, as a credential that only the service will have.
pub type KeyReader<'r> = &'r dyn Fn(&str) -> Result<Option<Vec<u8>>, String>;

/// Reads the key that `named` names, for a node that is to run.
///
/// # Errors
/// What is wrong with it, and the cure.
pub fn read(named: &str) -> Result<Option<Vec<u8>>, String> {
    secrets::read(Path::new(named)).map(Some).map_err(|error| error.to_string())
}

/// As [`read`], for a check: a credential that this process does not have is not looked at.
///
/// # Errors
/// What is wrong with it, and the cure.
pub fn look_at(named: &str) -> Result<Option<Vec<u8>>, String> {
    match secrets::read(Path::new(named)) {
        Err(SecretError::NoCredentials { .. }) => Ok(None),
        read => read.map(Some).map_err(|error| error.to_string()),
    }
}
