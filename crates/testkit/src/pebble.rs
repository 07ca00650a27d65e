//! A private pebble (an ACME CA) with the DNS server it asks (pebble-challtestsrv).
//!
//! Always holds: each instance listens on a loopback network of its own, has its own HTTPS certificate, forgets everything when it ends, and
//! ends with its owner. Names have no address until [`Pebble::set_a`] gives them some, and never an IPv6 address.
//!
//! Deliberately not here: anything that speaks ACME.

mod certificates;
pub(crate) mod http;
mod log;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Process, Site, eventually, installed};

/// How long the two servers may take to start.
const START_SECONDS_MAX: u64 = 20;
/// Ports on the instance's own address; nobody else is there.
const ACME_PORT: u16 = 14_000;
const MANAGEMENT_PORT: u16 = 15_000;
const DNS_PORT: u16 = 8053;
const DNS_MANAGEMENT_PORT: u16 = 8055;

/// How a pebble behaves.
#[derive(Debug, Clone)]
pub struct PebbleOptions {
    /// Where it expects http-01 answers, on every address of a name.
    pub http_port: u16,
    /// Where it expects tls-alpn-01 answers; the same port unless changed.
    pub tls_port: u16,
    /// Where its files go; a temporary directory if not given.
    pub dir: Option<PathBuf>,
    /// How many good nonces of a hundred it rejects (pebble's own default is 5).
    pub nonce_reject_percent: u8,
    /// For how many identifiers of a hundred it reuses a valid authorization (pebble's own default is 50).
    pub authz_reuse_percent: u8,
    /// How long each validation sleeps, at random up to this many seconds; not at all if not given.
    pub va_sleep_seconds: Option<u32>,
    /// How long its certificates are valid (pebble's own default is five years).
    pub certificate_validity_seconds: Option<u64>,
    /// External account keys (key identifier, base64url HMAC key); if there are any, every new account needs one.
    pub external_account_keys: Vec<(String, String)>,
}

impl PebbleOptions {
    /// As pebble is by default, but without sleeps.
    pub fn new(http_port: u16) -> Self {
        Self {
            http_port,
            tls_port: http_port,
            dir: None,
            nonce_reject_percent: 5,
            authz_reuse_percent: 50,
            va_sleep_seconds: None,
            certificate_validity_seconds: None,
            external_account_keys: Vec::new(),
        }
    }
}

/// A running pebble and its DNS server.
#[derive(Debug)]
pub struct Pebble {
    acme: Process,
    dns: Process,
    program: PathBuf,
    options: PebbleOptions,
    address: Ipv4Addr,
    dir: PathBuf,
    _temporary: Option<TempDir>,
    _site: Site,
}

impl Pebble {
    /// Starts both servers and waits until they answer; `None`, loudly, where pebble is not installed.
    pub async fn start(options: PebbleOptions) -> Option<Self> {
        let program = installed("pebble", "pebble")?;
        let dns_program = installed("pebble-challtestsrv", "pebble")?;
        let site = Site::claim();
        let address = site.host(1);
        let (dir, temporary) = directory(&options).expect("a directory for pebble can be made");
        certificates::write(&dir, address).expect("pebble's certificates can be written");
        std::fs::write(dir.join("pebble.json"), configuration(&options, address)).expect("pebble's configuration can be written");
        let dns = Process::start("pebble-challtestsrv", &mut dns_command(&dns_program, address), &dir.join("dns.log"));
        let dns = dns.expect("pebble-challtestsrv starts");
        let acme = start_acme(&program, &options, &dir, address).expect("pebble starts");
        let mut pebble = Self { acme, dns, program, options, address, dir, _temporary: temporary, _site: site };
        pebble.wait_until_ready().await;
        Some(pebble)
    }

    /// The ACME directory.
    pub fn directory_url(&self) -> String {
        format!("https://{}:{ACME_PORT}/dir", self.address)
    }

    /// The root that signed pebble's own HTTPS certificate, for `root = …`.
    pub fn root_pem_path(&self) -> PathBuf {
        self.dir.join(certificates::ROOT_FILE)
    }

    /// The same root, read.
    pub fn root_pem(&self) -> String {
        std::fs::read_to_string(self.root_pem_path()).expect("the root was written at the start")
    }

    /// The root of the certificates that pebble issues (PEM); another one after each start.
    pub async fn issuing_root(&self) -> String {
        let url = format!("https://{}:{MANAGEMENT_PORT}/roots/0", self.address);
        http::get(&url, Some(&self.root_pem())).await.expect("pebble's management answers")
    }

    /// Gives `name` these addresses, instead of those it had; no addresses: the name does not exist any more.
    pub async fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.dns_post("clear-a", &serde_json::json!({ "host": name })).await;
        if !addresses.is_empty() {
            self.dns_post("add-a", &serde_json::json!({ "host": name, "addresses": addresses })).await;
        }
    }

    /// Serial numbers of all certificates issued so far, lower-case hex.
    pub fn issued(&self) -> Vec<String> {
        log::issued(&self.log())
    }

    /// How many different orders were made so far.
    pub fn orders_seen(&self) -> usize {
        log::orders(&self.log())
    }

    /// How many accounts there are.
    pub fn accounts_seen(&self) -> usize {
        log::accounts(&self.log())
    }

    /// What pebble has logged, over all of its starts.
    pub fn log(&self) -> String {
        self.acme.output()
    }

    /// Whether pebble has not ended.
    pub fn is_running(&mut self) -> bool {
        self.acme.is_running()
    }

    /// Lets pebble hang: connections are accepted by the kernel, nothing answers (SIGSTOP).
    pub fn pause(&self) {
        self.acme.signal(Signal::STOP);
    }

    /// Ends [`Pebble::pause`].
    pub fn resume(&self) {
        self.acme.signal(Signal::CONT);
    }

    /// Ends pebble without warning; connections are refused from now on. Its DNS server stays.
    pub fn kill(&mut self) {
        self.acme.kill();
    }

    /// Ends pebble by SIGTERM.
    pub fn stop(&mut self) {
        self.acme.stop();
    }

    /// Starts pebble anew at the same address: it knows no account and no order, and has another issuing root.
    pub async fn restart(&mut self) {
        self.acme.kill();
        self.acme = start_acme(&self.program, &self.options, &self.dir, self.address).expect("pebble starts");
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let limit = Duration::from_secs(START_SECONDS_MAX);
        self.dns.printed("Starting challenge servers", limit).await;
        let root = self.root_pem();
        let (acme, dns) = (&mut self.acme, &mut self.dns);
        let directory = format!("https://{}:{ACME_PORT}/dir", self.address);
        eventually("pebble answers", limit, || {
            assert!(acme.is_running() && dns.is_running(), "pebble ended at its start:\n{}\n{}", acme.output(), dns.output());
            let answer = http::get(&directory, Some(&root));
            async move { answer.await.ok() }
        })
        .await;
        let (this, probe) = (&*self, r#"{"host":"unused.invalid"}"#);
        eventually("pebble's DNS server answers", limit, || async move { this.dns_call("clear-a", probe).await.ok() }).await;
    }

    async fn dns_post(&self, path: &str, body: &serde_json::Value) {
        self.dns_call(path, &body.to_string()).await.expect("pebble's DNS server takes it");
    }

    async fn dns_call(&self, path: &str, body: &str) -> io::Result<String> {
        http::post(&format!("http://{}:{DNS_MANAGEMENT_PORT}/{path}", self.address), body).await
    }
}

fn directory(options: &PebbleOptions) -> io::Result<(PathBuf, Option<TempDir>)> {
    if let Some(dir) = &options.dir {
        std::fs::create_dir_all(dir)?;
        return Ok((dir.clone(), None));
    }
    let temporary = tempfile::Builder::new().prefix("pebble-").tempdir()?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

fn configuration(options: &PebbleOptions, address: Ipv4Addr) -> String {
    let keys: serde_json::Map<String, serde_json::Value> =
        options.external_account_keys.iter().map(|(kid, key)| (kid.clone(), key.as_str().into())).collect();
    let mut pebble = serde_json::json!({
        "listenAddress": SocketAddr::from((address, ACME_PORT)),
        "managementListenAddress": SocketAddr::from((address, MANAGEMENT_PORT)),
        "certificate": certificates::SERVER_FILE,
        "privateKey": certificates::SERVER_KEY_FILE,
        "httpPort": options.http_port,
        "tlsPort": options.tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": !keys.is_empty(),
        "externalAccountMACKeys": keys,
    });
    if let Some(seconds) = options.certificate_validity_seconds {
        pebble["certificateValidityPeriod"] = seconds.into();
    }
    serde_json::json!({ "pebble": pebble }).to_string()
}

fn dns_command(program: &Path, address: Ipv4Addr) -> Command {
    let mut command = Command::new(program);
    command.args(["-defaultIPv4", "", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
    command.args(["-dns01", &format!("{address}:{DNS_PORT}"), "-management", &format!("{address}:{DNS_MANAGEMENT_PORT}")]);
    command
}

fn start_acme(program: &Path, options: &PebbleOptions, dir: &Path, address: Ipv4Addr) -> io::Result<Process> {
    let mut command = Command::new(program);
    command.current_dir(dir).args(["-config", "pebble.json", "-dnsserver", &format!("{address}:{DNS_PORT}")]);
    command.env("PEBBLE_WFE_NONCEREJECT", options.nonce_reject_percent.to_string());
    command.env("PEBBLE_AUTHZREUSE", options.authz_reuse_percent.to_string());
    match options.va_sleep_seconds {
        Some(seconds) => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        None => command.env("PEBBLE_VA_NOSLEEP", "1"),
    };
    Process::start("pebble", &mut command, &dir.join("pebble.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Pebble {
        /// Waits for the kernel's word for what the process does (proc(5), `stat`).
        async fn is_in_state(&self, state: &str) {
            let stat = format!("/proc/{}/stat", self.acme.id());
            eventually(&format!("pebble is in state {state}"), Duration::from_secs(START_SECONDS_MAX), async || {
                let stat = std::fs::read_to_string(&stat).expect("pebble has not ended");
                (stat.split(' ').nth(2) == Some(state)).then_some(())
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_pebble_starts_answers_and_ends() {
        let Some(mut pebble) = Pebble::start(PebbleOptions::new(5002)).await else { return };
        assert!(pebble.is_running());
        assert!(pebble.issuing_root().await.contains("BEGIN CERTIFICATE"));
        pebble.set_a("a.example", &[Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12)]).await;
        assert!(pebble.dns.output().contains("127.0.0.11, 127.0.0.12"));
        assert_eq!((pebble.issued().len(), pebble.orders_seen(), pebble.accounts_seen()), (0, 0, 0));
        pebble.pause();
        pebble.is_in_state("T").await;
        pebble.resume();
        pebble.is_in_state("S").await;
        let first_root = pebble.issuing_root().await;
        pebble.kill();
        assert!(!pebble.is_running());
        pebble.restart().await;
        assert_ne!(pebble.issuing_root().await, first_root);
    }
}
