//! Where a secret is to be found. A configuration names the place and never holds the secret.
//!
//! Always holds: a literal is refused without being repeated; a file that everyone may read is refused; reads are bounded.
//!
//! Deliberately not here: what secrets are for.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use certfleet_core::secret::Secret;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Largest secret that is read.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// `{ file = "…" }`, `{ env = "…" }` or `{ credential = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that others cannot read.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// A systemd credential (`LoadCredential=`), a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is not there or may not be read.
    #[error("secret file {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Every user of the machine could read it.
    #[error("secret file {0} may be read by everyone; run `chmod o= {0}`")]
    WorldReadable(PathBuf),
    /// It is a directory, a device or a pipe.
    #[error("secret file {0} is not a regular file")]
    NotAFile(PathBuf),
    /// More than [`SECRET_BYTES_MAX`].
    #[error("secret file {0} is larger than {SECRET_BYTES_MAX} bytes; is it the right file?")]
    TooLarge(PathBuf),
    /// The variable is not set.
    #[error("the environment has no variable `{0}`; set it for the service, or use `file`")]
    NoVariable(String),
    /// systemd gave no credentials.
    #[error("credential `{0}`: $CREDENTIALS_DIRECTORY is not set; add `LoadCredential={0}:/path` to the unit")]
    NoCredentials(String),
    /// Nothing in it.
    #[error("the secret from {0} is empty")]
    Empty(SecretSource),
}

impl SecretSource {
    /// Reads the secret; one trailing line end is taken off.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        self.resolve_from(|name| std::env::var_os(name), credentials.as_deref())
    }

    fn resolve_from(
        &self,
        variable: impl Fn(&str) -> Option<std::ffi::OsString>,
        credentials: Option<&Path>,
    ) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::File(path) => read(path)?,
            Self::Env(name) => {
                std::os::unix::ffi::OsStringExt::into_vec(variable(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?)
            }
            Self::Credential(name) => read(&credentials.ok_or_else(|| SecretError::NoCredentials(name.clone()))?.join(name))?,
        };
        let secret = Secret::new(without_line_end(bytes));
        if secret.expose().is_empty() { Err(SecretError::Empty(self.clone())) } else { Ok(secret) }
    }
}

fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

/// Looks at the open file, so that what was checked is what is read; does not wait for a pipe's writer.
fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile(path.to_owned()));
    }
    if metadata.mode() & 0o004 != 0 {
        return Err(SecretError::WorldReadable(path.to_owned()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(SECRET_BYTES_MAX)).unwrap_or_default() + 1);
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

const FORMS: &str = "write `{ file = \"/path\" }`, `{ env = \"NAME\" }` or `{ credential = \"name\" }`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    file: Option<PathBuf>,
    env: Option<String>,
    credential: Option<String>,
}

impl Table {
    fn source(self) -> Result<SecretSource, String> {
        match (self.file, self.env, self.credential) {
            (Some(path), None, None) if path.is_absolute() => Ok(SecretSource::File(path)),
            (Some(_), None, None) => Err("the path of a secret's file starts with `/`".to_owned()),
            (None, Some(name), None) if !name.is_empty() && !name.contains(['=', '\0']) => Ok(SecretSource::Env(name)),
            (None, Some(_), None) => Err("this is not the name of an environment variable".to_owned()),
            (None, None, Some(name)) if is_file_name(&name) => Ok(SecretSource::Credential(name)),
            (None, None, Some(_)) => Err("a credential's name is a file name, without `/`".to_owned()),
            _ => Err(format!("a secret is in one place: {FORMS}")),
        }
    }
}

fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the place of a secret ({FORMS})")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(E::custom(format!("a secret must not stand in the configuration itself; {FORMS}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?.source().map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(dir: &Path, content: &[u8], mode: u32) -> PathBuf {
        let path = dir.join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn resolve(source: &SecretSource, credentials: Option<&Path>) -> Result<Secret, SecretError> {
        source.resolve_from(|name| (name == "SET").then(|| "from env".into()), credentials)
    }

    #[test]
    fn a_secret_comes_from_each_place_without_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), b"from file\r\n", 0o640);
        let text = |source: SecretSource| resolve(&source, Some(dir.path())).unwrap().expose_text().unwrap().to_owned();
        assert_eq!(text(SecretSource::File(path)), "from file");
        assert_eq!(text(SecretSource::Credential("secret".into())), "from file");
        assert_eq!(text(SecretSource::Env("SET".into())), "from env");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let fails = |source: SecretSource| resolve(&source, None).unwrap_err();
        let source = SecretSource::File(file(dir.path(), b"x", 0o644));
        assert!(matches!(fails(source), SecretError::WorldReadable(_)));
        let source = SecretSource::File(file(dir.path(), b"\n", 0o600));
        assert!(matches!(fails(source), SecretError::Empty(_)));
        let source = SecretSource::File(file(dir.path(), &vec![b'x'; 70_000], 0o600));
        assert!(matches!(fails(source), SecretError::TooLarge(_)));
        assert!(matches!(fails(SecretSource::File(dir.path().into())), SecretError::NotAFile(_)));
        assert!(matches!(fails(SecretSource::File(dir.path().join("none"))), SecretError::Unreadable { .. }));
        assert!(matches!(fails(SecretSource::Env("UNSET".into())), SecretError::NoVariable(_)));
        assert!(matches!(fails(SecretSource::Credential("x".into())), SecretError::NoCredentials(_)));
    }
}
