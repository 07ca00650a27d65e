//! Reading what the kernel says of a process, and looking at a handshake.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Clock ticks of `/proc/PID/stat` in a second; Linux has shown 100 to user space on every architecture since 2.6.
const TICKS: f64 = 100.0;
/// Longest handshake that is waited for.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// What an idle process costs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Idle {
    /// Resident memory, in megabytes.
    pub resident_mb: f64,
    /// Share of one core, in percent.
    pub cpu_percent: f64,
}

/// Watches a process for a while.
pub async fn idle(pid: u32, span: Duration) -> Idle {
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = ticks(pid);
    tokio::time::sleep(span).await;
    let cpu_percent = percent(ticks(pid) - before, span.as_secs_f64());
    Idle { resident_mb: resident_mb(pid), cpu_percent }
}

/// Ticks in so many seconds as a share of one core.
pub fn percent(ticks: f64, seconds: f64) -> f64 {
    ticks / TICKS / seconds * 100.0
}

/// A process's time on the processor so far, in clock ticks.
pub fn ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = after_name.split(' ').collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    number(11) + number(12)
}

/// Its resident memory, in megabytes.
pub fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// The machine, for people.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model.to_owned()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} × {}, load before the run {load}", model.unwrap_or_else(|| std::env::consts::ARCH.into()))
}

/// Looks whether a certificate of the CA is served.
pub struct Looker {
    connector: TlsConnector,
}

impl Looker {
    /// Trusts this root alone.
    pub fn trusting(root_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).expect("the CA's root is PEM");
        roots.add(root).expect("the CA's root is a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("the provider has them").with_root_certificates(roots).with_no_client_auth();
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    /// Whether a handshake for `name` ends well.
    pub async fn sees(&self, address: SocketAddr, name: &str) -> bool {
        let handshake = async {
            let tcp = TcpStream::connect(address).await.ok()?;
            let name = ServerName::try_from(name.to_owned()).ok()?;
            self.connector.connect(name, tcp).await.ok()
        };
        matches!(tokio::time::timeout(HANDSHAKE, handshake).await, Ok(Some(_)))
    }
}
