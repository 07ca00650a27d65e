//! Where the password is, and reading it: at each connection, so that it can be changed while certfleet runs.

use std::io::{Error, Read, Result};
use std::path::{Path, PathBuf};

use certfleet_core::secret::Secret;
use zeroize::Zeroizing;

use crate::error::StoreError;

const PASSWORD_BYTES_MAX: u64 = 4096;

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Password {
    /// In the URL.
    Given(Secret),
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
    /// In a systemd credential.
    Credential(String),
}

impl Password {
    pub(super) async fn read(&self) -> std::result::Result<Secret, StoreError> {
        let (place, read) = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::File(file) => (file.display().to_string(), in_background(file.clone()).await),
            Self::Env(name) => (format!("the variable {name}"), of_environment(name)),
            Self::Credential(name) => {
                let place = format!("the credential `{name}`");
                match std::env::var_os("CREDENTIALS_DIRECTORY") {
                    None => (place, Err(Error::other("$CREDENTIALS_DIRECTORY is not set"))),
                    Some(dir) => (place, in_background(Path::new(&dir).join(name)).await),
                }
            }
        };
        read.map_err(|e| StoreError::NeedsOperator {
            what: format!("the postgres store's password cannot be read from {place}: {e}"),
            remedy: "put it there on one line, for the user that certfleet runs as to read".into(),
        })
    }
}

fn of_environment(name: &str) -> Result<Secret> {
    let value = Zeroizing::new(std::env::var(name).map_err(Error::other)?);
    first_line(value.as_bytes())
}

async fn in_background(file: PathBuf) -> Result<Secret> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        std::fs::File::open(file)?.take(PASSWORD_BYTES_MAX).read_to_end(&mut bytes)?;
        first_line(&bytes)
    });
    read.await.unwrap_or_else(|e| Err(Error::other(e)))
}

fn first_line(bytes: &[u8]) -> Result<Secret> {
    let line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    if line.is_empty() { Err(Error::other("its first line is empty")) } else { Ok(Secret::new(line.to_vec())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_read_where_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("password");
        std::fs::write(&file, "p w\r\nmore").expect("written");
        assert_eq!(Password::File(file.clone()).read().await, Ok(Secret::new(b"p w".to_vec())));
        std::fs::write(&file, "\n").expect("written");
        // A variable that every environment has.
        let path = std::env::var("PATH").expect("there is a path");
        assert_eq!(Password::Env("PATH".into()).read().await, Ok(Secret::from(path)));
        for missing in [Password::File(file), Password::Env("NO_SUCH_VARIABLE".into()), Password::Credential("none".into())] {
            assert!(matches!(missing.read().await, Err(StoreError::NeedsOperator { .. })), "{missing:?}");
        }
    }
}
