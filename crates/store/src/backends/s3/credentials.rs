//! Who we are to S3: an access key whose secret is in a file, a variable or a systemd credential, or else what AWS offers to a program.
//!
//! Always holds: a secret is in no message and no dump, and it is read again now and then, so that it can be changed while certfleet runs.
//!
//! Deliberately not here: profiles (`~/.aws`), single sign-on.

use std::io::{Error, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Config, AwsCredential};
use zeroize::Zeroizing;

use crate::error::StoreError;

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;
/// How long a secret that was read is used.
const SECRET_SECONDS_MAX: u64 = 60;
/// What of the environment is taken where the URL names nobody: what the AWS tools take, except for profiles.
const VARIABLES: [(&str, Config); 10] = [
    ("AWS_ACCESS_KEY_ID", Config::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", Config::SecretAccessKey),
    ("AWS_SESSION_TOKEN", Config::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Config::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", Config::RoleArn),
    ("AWS_ROLE_SESSION_NAME", Config::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", Config::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Config::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Config::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Config::ContainerAuthorizationTokenFile),
];

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// Its id.
    pub(super) user: String,
    /// Where its secret is.
    pub(super) secret: Place,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
    /// In a systemd credential.
    Credential(String),
}

/// With the credentials that the URL names, or those of the surroundings.
pub(super) fn with_credentials(builder: AmazonS3Builder, login: Option<&Login>) -> AmazonS3Builder {
    match login {
        Some(login) => builder.with_credentials(Arc::new(Reader { login: login.clone(), read: Mutex::default() })),
        None => VARIABLES.into_iter().fold(builder, |builder, (name, config)| match std::env::var(name) {
            Ok(value) if !value.is_empty() => builder.with_config(config, value),
            _ => builder,
        }),
    }
}

/// Reads the secret when it is needed.
#[derive(Debug)]
struct Reader {
    login: Login,
    read: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl Reader {
    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, credential) = read.as_ref()?;
        (at.elapsed() < Duration::from_secs(SECRET_SECONDS_MAX)).then(|| credential.clone())
    }
}

#[async_trait]
impl CredentialProvider for Reader {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(credential) = self.kept() {
            return Ok(credential);
        }
        let place = self.login.secret.clone();
        let read = tokio::task::spawn_blocking(move || place.read()).await.unwrap_or_else(|e| Err(Error::other(e)));
        let secret_key = read.map_err(|e| unreadable(&self.login.secret, &e))?;
        let credential = Arc::new(AwsCredential { key_id: self.login.user.clone(), secret_key, token: None });
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), credential.clone()));
        Ok(credential)
    }
}

fn unreadable(place: &Place, error: &Error) -> object_store::Error {
    let source = StoreError::NeedsOperator {
        what: format!("the s3 store's secret key cannot be read from {}: {error}", place.shown()),
        remedy: "put it there on one line, for the user that certfleet runs as to read".into(),
    };
    object_store::Error::Generic { store: "S3", source: Box::new(source) }
}

impl Place {
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Env(name) => format!("the variable {name}"),
            Self::Credential(name) => format!("the credential `{name}`"),
        }
    }

    fn read(&self) -> std::io::Result<String> {
        match self {
            Self::File(path) => of_file(path),
            Self::Env(name) => first_line(&std::env::var(name).map_err(Error::other)?),
            Self::Credential(name) => {
                let dir = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| Error::other("$CREDENTIALS_DIRECTORY is not set"))?;
                of_file(&Path::new(&dir).join(name))
            }
        }
    }
}

fn of_file(path: &Path) -> std::io::Result<String> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)?.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    first_line(&text)
}

fn first_line(text: &str) -> std::io::Result<String> {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() { Err(Error::other("its first line is empty")) } else { Ok(line.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(secret: Place) -> Reader {
        Reader { login: Login { user: "id".into(), secret }, read: Mutex::default() }
    }

    #[tokio::test]
    async fn secrets_are_read_where_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        std::fs::write(&file, "s/+ecret\r\nmore").expect("written");
        let reader = reader(Place::File(file.clone()));
        let credential = reader.get_credential().await.expect("read");
        assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("id", "s/+ecret"));
        std::fs::remove_file(&file).expect("removed");
        assert!(reader.get_credential().await.is_ok(), "it is kept for a while");
        assert!(!format!("{reader:?}").contains("/+ecret"), "{reader:?}");
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        for (place, shown) in [
            (Place::File("/no/such/file".into()), "/no/such/file"),
            (Place::Env("NO_SUCH_VARIABLE".into()), "NO_SUCH_VARIABLE"),
            (Place::Credential("none".into()), "none"),
        ] {
            let error = reader(place).get_credential().await.expect_err("missing").to_string();
            assert!(error.contains(shown) && error.contains("on one line"), "{error}");
        }
    }
}
