//! From a URL to a connection: who is the master, and what is shown to it.

use std::path::Path;
use std::time::Duration;

use certfleet_core::secret::Secret;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisConnectionInfo,
    TlsCertificates,
};

use super::fault::{Fault, away};
use super::url::{Address, Endpoint, Login, Password, RedisUrl, TlsFiles};
use crate::error::StoreError;

/// How long a connection may take to come about.
const CONNECT_MS_MAX: u64 = 3_000;
/// How long a Sentinel may take; the next is asked then.
const SENTINEL_MS_MAX: u64 = 1_000;
/// How long an answer may take.
const ANSWER_MS_MAX: u64 = 5_000;
/// How long a connection may be without a sign of life.
const SILENCE_SECONDS_MAX: u64 = 15;
/// Where systemd puts a service's credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Largest password or PEM file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the master is: the server of the URL, or what the first Sentinel that answers says.
pub(super) async fn master(url: &RedisUrl) -> Result<Address, StoreError> {
    let (sentinels, service, login) = match &url.endpoint {
        Endpoint::Server(address) => return Ok(address.clone()),
        Endpoint::Sentinel { sentinels, service, login } => (sentinels, service, login),
    };
    let mut silent = Vec::new();
    for sentinel in sentinels {
        match ask(url, sentinel, service, login).await {
            Ok(Some(master)) => return Ok(master),
            Ok(None) => silent.push(format!("{sentinel} knows no master `{service}`")),
            Err(error @ StoreError::NeedsOperator { .. }) => return Err(error),
            Err(error) => silent.push(error.to_string()),
        }
    }
    Err(StoreError::Away { why: format!("no Sentinel says where the master `{service}` is: {}", silent.join(", ")) })
}

async fn ask(url: &RedisUrl, sentinel: &Address, service: &str, login: &Login) -> Result<Option<Address>, StoreError> {
    let limit = Duration::from_millis(SENTINEL_MS_MAX);
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
    let redis = credentials(login).await?;
    let mut connection = open(url, sentinel, redis, &config).await?;
    let answer = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).query_async(&mut connection).await;
    let place: Option<(String, u16)> = answer.map_err(|e| Fault::of(sentinel, &e).error)?;
    Ok(place.map(|(host, port)| Address { host, port }))
}

/// A connection to the server at `address`; `told` gets what it tells unasked.
pub(super) async fn connect(
    url: &RedisUrl,
    address: &Address,
    told: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static,
) -> Result<MultiplexedConnection, StoreError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)))
        .set_response_timeout(Some(Duration::from_millis(ANSWER_MS_MAX)))
        .set_push_sender(told);
    let redis = credentials(&url.login).await?.set_db(url.db).set_protocol(ProtocolVersion::RESP3);
    open(url, address, redis, &config).await
}

async fn open(
    url: &RedisUrl,
    address: &Address,
    redis: RedisConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, StoreError> {
    let fault = |error| match Fault::of(address, &error).error {
        StoreError::Away { why } if url.tls.is_some() => {
            StoreError::Away { why: format!("{why}, with certificates that fit those of the store's URL") }
        }
        error => error,
    };
    let (host, port) = (address.host.clone(), address.port);
    let place = match url.tls {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    };
    let info = place.into_connection_info().map_err(fault)?.set_tcp_settings(tcp()).set_redis_settings(redis);
    let client = match &url.tls {
        Some(files) => {
            let files = certificates(files).await?;
            let unfit = |e: redis::RedisError| StoreError::NeedsOperator {
                what: format!("the TLS files for Redis at {address} cannot be used: {e}"),
                remedy: "give PEM files as `ca=`, `cert=` and `key=` in the store's URL".into(),
            };
            Client::build_with_tls(info, files).map_err(unfit)?
        }
        None => Client::open(info).map_err(fault)?,
    };
    match tokio::time::timeout(Duration::from_millis(CONNECT_MS_MAX), client.get_multiplexed_async_connection_with_config(config)).await {
        Ok(connection) => connection.map_err(fault),
        Err(_) => Err(away(address, "no connection in time", "see that it runs and that this node can reach it")),
    }
}

/// A machine that vanished is noticed by the kernel.
fn tcp() -> TcpSettings {
    let silence = Duration::from_secs(SILENCE_SECONDS_MAX);
    let probes = TcpKeepalive::new().with_time(silence / 3).with_interval(silence / 3).with_retries(2);
    TcpSettings::default().set_nodelay(true).set_keepalive(probes).set_user_timeout(silence)
}

async fn credentials(login: &Login) -> Result<RedisConnectionInfo, StoreError> {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &login.user {
        info = info.set_username(user);
    }
    let Some(password) = &login.password else { return Ok(info) };
    let password = secret(password).await?;
    let unfit = || StoreError::NeedsOperator { what: "the password for Redis is not UTF-8".into(), remedy: "set another password".into() };
    Ok(info.set_password(password.expose_text().ok_or_else(unfit)?.trim_end_matches(['\r', '\n'])))
}

async fn secret(password: &Password) -> Result<Secret, StoreError> {
    let variable = |name: &str| {
        let missing = || StoreError::NeedsOperator {
            what: format!("the environment has no `{name}`, where the password for Redis is to be"),
            remedy: "set it for certfleet's service, or name another place in the store's URL".into(),
        };
        std::env::var(name).map_err(|_| missing())
    };
    match password {
        Password::Given(secret) => Ok(secret.clone()),
        Password::File(path) => Ok(Secret::new(read(path).await?)),
        Password::Env(name) => Ok(variable(name)?.into()),
        Password::Credential(name) => Ok(Secret::new(read(&Path::new(&variable(CREDENTIALS)?).join(name)).await?)),
    }
}

async fn certificates(files: &TlsFiles) -> Result<TlsCertificates, StoreError> {
    let root_cert = match &files.ca {
        Some(path) => Some(read(path).await?),
        None => None,
    };
    let client_tls = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert).await?, client_key: read(key).await? }),
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

async fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |why: String| StoreError::NeedsOperator {
        what: format!("{} cannot be read: {why}", path.display()),
        remedy: "the store's URL names it; let certfleet's user read it".into(),
    };
    let size = tokio::fs::metadata(path).await.map_err(|e| failed(e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(failed(format!("{size} bytes are too many")));
    }
    tokio::fs::read(path).await.map_err(|e| failed(e.to_string()))
}
