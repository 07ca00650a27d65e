//! A private S3 server, moto: on a loopback port of its own, in memory, with faults on demand.
//!
//! Always holds: what it keeps is gone when it is killed, as in a bucket that was emptied.
//!
//! Deliberately not here: signatures; by itself moto takes any request, signed or not.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::addresses::free_port;
use crate::pebble::http::send;
use crate::process::{Process, eventually, is_there};

/// The version that `scripts/setup test` installs.
const VERSION: &str = "5.2.1";
/// How long it may take to answer after its start.
const START: Duration = Duration::from_secs(60);
/// Ports are tried again where another process was faster.
const PORT_TRIES: u32 = 5;
/// Of a key that may do anything; nobody looks at the signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
const SERVE: &str = include_str!("moto/serve.py");

/// What the server is to be.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// With TLS, by [`Moto::ca`].
    pub tls: bool,
    /// After so many requests, only keys are let in that it knows; and it knows none.
    pub requests_without_key: Option<u32>,
}

/// A running server.
#[derive(Debug)]
pub struct Moto {
    python: PathBuf,
    dir: TempDir,
    address: SocketAddr,
    setup: Setup,
    process: Process,
}

impl Moto {
    /// Starts a server; `None` where moto is not installed.
    pub async fn start(setup: &Setup) -> Option<Self> {
        let python = python()?;
        for _ in 0..PORT_TRIES {
            let dir = tempfile::Builder::new().prefix("moto-").tempdir().expect("a directory");
            std::fs::write(dir.path().join("serve.py"), SERVE).expect("written");
            if setup.tls {
                write_certificates(dir.path());
            }
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Ipv4Addr::LOCALHOST.into())));
            let process = run(&python, dir.path(), address, setup).expect("moto starts");
            let mut moto = Self { python: python.clone(), dir, address, setup: setup.clone(), process };
            if moto.is_ready().await {
                return Some(moto);
            }
            let log = moto.process.output();
            assert!(log.contains("in use"), "moto ended at its start:\n{log}");
        }
        panic!("no port stayed free for moto");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of its certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A file of its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A store in this bucket, for nodes that reach the server at `address` and look every so many seconds. Whatever the secret, it is taken.
    pub fn url(&self, bucket: &str, address: SocketAddr, poll_seconds: u32) -> String {
        let secret = self.file("secret");
        std::fs::write(&secret, "secret\n").expect("written");
        format!("s3://{bucket}/fleet?endpoint=http://{address}&user=key&password_file={}&poll={poll_seconds}", secret.display())
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, bucket: &str) {
        self.ask(Method::PUT, bucket, Vec::new()).await.expect("the bucket is made");
    }

    /// Writes an object, whatever is there.
    pub async fn put(&self, bucket: &str, name: &str, bytes: &[u8]) {
        self.ask(Method::PUT, &format!("{bucket}/{name}"), bytes.to_vec()).await.expect("the object is written");
    }

    /// Reads an object.
    pub async fn get(&self, bucket: &str, name: &str) -> Option<String> {
        self.ask(Method::GET, &format!("{bucket}/{name}"), Vec::new()).await.ok()
    }

    /// Removes an object.
    pub async fn delete(&self, bucket: &str, name: &str) {
        self.ask(Method::DELETE, &format!("{bucket}/{name}"), Vec::new()).await.expect("the object is removed");
    }

    /// What goes wrong from now on, as JSON: `status` and `code` of the answer, or `drop` for
    /// none; `done` if it is carried out all the same, `delay_ms` before
    /// anything else, `methods` that it goes wrong with, and how many `times`.
    pub fn fail(&self, fault: &str) {
        let (file, new) = (self.file("fault"), self.file("fault.new"));
        std::fs::write(&new, fault).and_then(|()| std::fs::rename(&new, &file)).expect("written");
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let _ = std::fs::remove_file(self.file("fault"));
    }

    /// What it was asked since the first start: method, path, query (or `-`) and status, in a line each.
    pub fn requests(&self) -> Vec<String> {
        self.process.output().lines().filter_map(|line| line.strip_prefix("REQUEST ")).map(str::to_owned).collect()
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again at the same address, empty.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.python, self.dir.path(), self.address, &self.setup).expect("moto starts");
        assert!(self.is_ready().await, "moto ended at its start:\n{}", self.process.output());
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> io::Result<String> {
        let scheme = if self.setup.tls { "https" } else { "http" };
        let root = if self.setup.tls { Some(std::fs::read_to_string(self.ca())?) } else { None };
        send(method, &format!("{scheme}://{}/{path}", self.address), Some(AUTHORIZATION), body, root.as_deref()).await
    }

    async fn is_ready(&mut self) -> bool {
        let address = self.address;
        let process = &mut self.process;
        let answered = eventually("moto listens", START, || {
            let is_running = process.is_running();
            async move {
                if !is_running {
                    return Some(false);
                }
                tokio::net::TcpStream::connect(address).await.is_ok().then_some(true)
            }
        });
        answered.await
    }
}

/// Where `scripts/setup test` puts it.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    let environment = cache.join(format!("certfleet/moto-{VERSION}"));
    let is_installed = environment.join("installed").exists();
    is_there(is_installed.then(|| environment.join("bin/python")), "moto", "scripts/setup test")
}

fn run(python: &Path, dir: &Path, address: SocketAddr, setup: &Setup) -> io::Result<Process> {
    let mut command = Command::new(python);
    command.arg(dir.join("serve.py")).args([address.ip().to_string(), address.port().to_string()]).arg(dir.join("fault"));
    if setup.tls {
        command.args([dir.join("server.pem"), dir.join("server.key")]);
    }
    if let Some(requests) = setup.requests_without_key {
        command.env("INITIAL_NO_AUTH_ACTION_COUNT", requests.to_string());
    }
    Process::start("moto", &mut command, &dir.join("moto.log"))
}

fn write_certificates(dir: &Path) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().expect("a key")).expect("a root");
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &root)).expect("a certificate");
    for (name, pem) in [("ca.pem", root.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(dir.join(name), pem).expect("written");
    }
}
