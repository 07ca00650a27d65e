//! One connection, to one member at a time; the next member is asked when this one fails.
//!
//! Always holds: a connection is used only after it has answered once, as a member of a cluster with a leader. So a request that finds no
//! connection was never sent, and that is known. (A balancing channel would send it somewhere, some time.)
//!
//! Deliberately not here: what requests mean.

use std::fmt;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::secret::Secret;
use etcd_client::{Channel, Client, ConnectOptions, Error, Txn, TxnOp};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::address::{Address, Password, Tls};
use super::answers::{Failure, txn, whole};
use crate::error::StoreError;

/// How long a member may take to let us in.
const CONNECT_SECONDS_MAX: u64 = 2;
/// How long a member may take to answer.
const ANSWER_SECONDS_MAX: u64 = 5;
/// How long a request is tried, with all members.
const REQUEST_SECONDS_MAX: u64 = 10;
/// Wait before a request is tried again, at first and at most.
const PAUSE_MS: (u64, u64) = (50, 800);
/// While a request or a watch is open, the member has to show itself this often. etcd takes more than one in five seconds for an attack.
const KEEP_ALIVE_SECONDS: u64 = 6;
/// And within this time.
const KEEP_ALIVE_ANSWER_SECONDS_MAX: u64 = 4;
/// What may be on its way to us, unread, in bytes.
const WINDOW_BYTES: u32 = 4 << 20;
/// Largest password and PEM file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
const OTHERS_READ: u32 = 0o004;
const REMEDY: &str =
    "check that etcd runs there, that this machine may connect to it, and whether it wants TLS (`tls=on`, `ca=`, `cert=` and `key=`)";

/// The way to a cluster.
pub(super) struct Connections {
    address: Address,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Which member is asked next.
    next: usize,
    live: Option<Arc<Connection>>,
}

/// A member that answers.
pub(super) struct Connection {
    pub client: Client,
    pub host: String,
    retired: watch::Sender<bool>,
}

impl Connection {
    /// Waits until it is known to be of no more use.
    pub async fn retired(&self) {
        // The sender is ours, so there is no error to come.
        let _ = self.retired.subscribe().wait_for(|retired| *retired).await;
    }
}

impl Connections {
    pub fn new(address: Address) -> Self {
        let mut random = [0; 1];
        // Nodes spread over the members; without randomness they begin with the first.
        let _ = getrandom::fill(&mut random);
        let next = usize::from(random[0]) % address.hosts.len();
        Self { address, state: Mutex::new(State { next, live: None }) }
    }

    /// Without secrets, for messages.
    pub fn place(&self) -> String {
        self.address.place()
    }

    /// A request that may be carried out more than once.
    pub async fn ask<T, F: Future<Output = Result<T, Error>>>(&self, request: impl Fn(Client) -> F) -> Result<T, StoreError> {
        self.try_ask(request).await.map_err(|failure| self.error(failure))
    }

    /// As [`Connections::ask`]; its failure says what is known.
    pub async fn try_ask<T, F: Future<Output = Result<T, Error>>>(&self, request: impl Fn(Client) -> F) -> Result<T, Failure> {
        self.try_all(&request, true).await
    }

    /// A request that may be carried out once: its failure says what is known.
    pub async fn tell<T, F: Future<Output = Result<T, Error>>>(&self, request: impl Fn(Client) -> F) -> Result<T, Failure> {
        self.try_all(&request, false).await
    }

    /// What a failure is to a reader.
    pub fn error(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Refused(error) => error,
            Failure::Undone(why) | Failure::Lost(why) => StoreError::Away { why },
            Failure::TooLarge => StoreError::Away { why: format!("{} sent an answer that is too large", self.place()) },
        }
    }

    async fn try_all<T, F: Future<Output = Result<T, Error>>>(&self, request: &impl Fn(Client) -> F, again: bool) -> Result<T, Failure> {
        let end = Instant::now() + Duration::from_secs(REQUEST_SECONDS_MAX);
        let mut pause = Duration::from_millis(PAUSE_MS.0);
        loop {
            let failure = match self.try_one(request, end).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Lost(why)) if again => Failure::Undone(why),
                Err(failure) => failure,
            };
            if !matches!(failure, Failure::Undone(_)) || Instant::now() + pause >= end {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(PAUSE_MS.1));
        }
    }

    async fn try_one<T, F: Future<Output = Result<T, Error>>>(&self, request: &impl Fn(Client) -> F, end: Instant) -> Result<T, Failure> {
        let connection = match timeout_at(end, self.get()).await {
            Ok(connection) => connection?,
            Err(_) => return Err(Failure::Refused(self.silent(&format!("no member let us in within {REQUEST_SECONDS_MAX} s")))),
        };
        let failure = match timeout(Duration::from_secs(ANSWER_SECONDS_MAX), request(connection.client.clone())).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::of(&error, &connection.host),
            Err(_) => Failure::Lost(format!("{} did not answer within {ANSWER_SECONDS_MAX} s", connection.host)),
        };
        if matches!(failure, Failure::Undone(_) | Failure::Lost(_)) {
            self.retire(&connection).await;
        }
        Err(failure)
    }

    /// The connection; made, if there is none. `Undone` where some member is there and cannot serve yet.
    pub async fn get(&self) -> Result<Arc<Connection>, Failure> {
        let mut state = self.state.lock().await;
        if let Some(live) = &state.live {
            return Ok(live.clone());
        }
        let (mut reasons, mut patience) = (Vec::new(), false);
        for _ in 0..self.address.hosts.len() {
            let host = self.address.hosts[state.next % self.address.hosts.len()].clone();
            // Before, so that a caller who gives up does not leave us with the same member for ever.
            state.next = state.next.wrapping_add(1);
            match self.connect(&host).await {
                Ok(client) => {
                    let connection = Arc::new(Connection { client, host, retired: watch::Sender::new(false) });
                    state.live = Some(connection.clone());
                    return Ok(connection);
                }
                Err(Failure::Undone(why)) => (patience, _) = (true, reasons.push(why)),
                Err(Failure::Lost(why)) => reasons.push(why),
                // The others would say the same.
                Err(refused) => return Err(refused),
            }
        }
        let why = reasons.join("; ");
        Err(if patience { Failure::Undone(why) } else { Failure::Refused(self.silent(&why)) })
    }

    /// Has the next request made by another connection.
    pub async fn retire(&self, connection: &Arc<Connection>) {
        connection.retired.send_replace(true);
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, connection)) {
            state.live = None;
        }
    }

    fn silent(&self, why: &str) -> StoreError {
        StoreError::Away { why: format!("{} does not answer ({why}); {REMEDY}", self.place()) }
    }

    /// Lost and Refused: it is of no use now; Undone: it is there, and may serve soon.
    async fn connect(&self, host: &str) -> Result<Client, Failure> {
        let endpoint = self.endpoint(host).await?;
        let away = |why: String| Failure::Lost(format!("{host}: {why}"));
        let channel = endpoint.connect().await.map_err(|e| away(whole(&e)))?;
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some(login) = &self.address.login {
            let password = password(&login.password).await?;
            let text = password
                .expose_text()
                .ok_or_else(|| needs_operator("the password of the store is not UTF-8".into(), "write a plain one"))?;
            options = options.with_user(login.user.clone(), text).with_auto_token_refresh(true);
        }
        let greeting = async {
            let client = Client::from_channel(Channel::Tonic(channel), Some(options)).await?;
            let look = Txn::new().and_then([TxnOp::get(format!("{}/store", self.address.prefix), None)]);
            txn(client.clone(), look).await.map(|_| client)
        };
        match timeout(Duration::from_secs(CONNECT_SECONDS_MAX), greeting).await {
            Ok(answer) => answer.map_err(|e| Failure::of(&e, host)),
            Err(_) => Err(Failure::Undone(format!("{host} let us in and did not answer within {CONNECT_SECONDS_MAX} s"))),
        }
    }

    async fn endpoint(&self, host: &str) -> Result<Endpoint, Failure> {
        let scheme = if self.address.tls.is_some() { "https" } else { "http" };
        let unfit = |e: tonic::transport::Error| {
            needs_operator(format!("{host} cannot be connected to: {}", whole(&e)), "check the certificates and the key")
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{host}")).map_err(unfit)?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
            .http2_keep_alive_interval(Duration::from_secs(KEEP_ALIVE_SECONDS))
            .keep_alive_timeout(Duration::from_secs(KEEP_ALIVE_ANSWER_SECONDS_MAX))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        match &self.address.tls {
            Some(tls) => endpoint.tls_config(tls_config(tls, host).await?).map_err(unfit),
            None => Ok(endpoint),
        }
    }
}

async fn tls_config(tls: &Tls, host: &str) -> Result<ClientTlsConfig, Failure> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let config = ClientTlsConfig::new().domain_name(name);
    let config = match &tls.ca {
        Some(ca) => config.ca_certificate(Certificate::from_pem(read(ca).await?.expose())),
        None => config.with_enabled_roots(),
    };
    let Some((cert, key)) = &tls.identity else { return Ok(config) };
    Ok(config.identity(Identity::from_pem(read(cert).await?.expose(), read_secret(key).await?.expose())))
}

async fn password(password: &Password) -> Result<Secret, Failure> {
    match password {
        Password::Given(secret) => Ok(secret.clone()),
        Password::File(path) => Ok(without_line_end(&read_secret(path).await?)),
        Password::Env(name) => match std::env::var(name) {
            Ok(text) => Ok(without_line_end(&Secret::from(text))),
            Err(_) => Err(needs_operator(
                format!("the environment has no variable `{name}` with the password of the store"),
                "set it for the service",
            )),
        },
        Password::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(dir) => Ok(without_line_end(&read_secret(&Path::new(&dir).join(name)).await?)),
            None => {
                let what = format!("credential `{name}` of the store: $CREDENTIALS_DIRECTORY is not set");
                Err(needs_operator(what, &format!("add `LoadCredential={name}:/path` to the unit")))
            }
        },
    }
}

fn without_line_end(secret: &Secret) -> Secret {
    let bytes = secret.expose();
    let end = bytes.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |last| last + 1);
    Secret::new(bytes[..end].to_vec())
}

/// As [`read`], of what others must not see.
async fn read_secret(path: &Path) -> Result<Secret, Failure> {
    let mode = tokio::fs::metadata(path).await.map_or(0, |about| about.permissions().mode());
    if mode & OTHERS_READ != 0 {
        let remedy = format!("run `chmod o= {}`", path.display());
        return Err(needs_operator(format!("{} may be read by everyone", path.display()), &remedy));
    }
    read(path).await
}

async fn read(path: &Path) -> Result<Secret, Failure> {
    let failed = |why: String| needs_operator(format!("{} cannot be read: {why}", path.display()), "check the path and who may read it");
    let length = tokio::fs::metadata(path).await.map_err(|e| failed(e.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed(format!("it has {length} bytes, more than the {FILE_BYTES_MAX} that are read")));
    }
    Ok(Secret::new(tokio::fs::read(path).await.map_err(|e| failed(e.to_string()))?))
}

fn needs_operator(what: String, remedy: &str) -> Failure {
    Failure::Refused(StoreError::NeedsOperator { what, remedy: remedy.to_owned() })
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("address", &self.address).finish_non_exhaustive()
    }
}
