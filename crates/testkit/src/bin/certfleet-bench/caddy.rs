//! The peer: Caddy instances that share a storage directory.

use std::process::Command;
use std::time::{Duration, Instant};

use certfleet_testkit::Process;
use serde_json::{Value, json};

use crate::measure::Looker;
use crate::{LIMIT, Lab};

/// How often handshakes are tried.
const POLL: Duration = Duration::from_millis(50);

/// Its name and version, if it is installed.
pub fn version() -> Option<String> {
    let output = Command::new("caddy").arg("version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Some(format!("Caddy {}", text.split(' ').next().unwrap_or_default().trim_start_matches('v')))
}

fn configuration(lab: &Lab, node: usize, interval_seconds: Option<u64>) -> Value {
    let host = lab.hosts[node].to_string();
    let issuer = json!({
        "module": "acme",
        "ca": lab.pebble.directory_url(),
        "trusted_roots_pem_files": [lab.pebble.root_pem_path()],
        "challenges": {
            "http": { "alternate_port": lab.http_port },
            "tls-alpn": { "alternate_port": lab.https_port },
            "bind_host": host,
        },
    });
    let mut automation = json!({ "policies": [{ "subjects": lab.names, "issuers": [issuer] }] });
    if let Some(seconds) = interval_seconds {
        automation["renew_interval"] = format!("{seconds}s").into();
    }
    json!({
        "admin": { "disabled": true },
        "logging": { "logs": { "default": { "level": "DEBUG" } } },
        "storage": { "module": "file_system", "root": lab.dir().join("caddy-storage") },
        "apps": {
            "http": { "http_port": lab.http_port, "https_port": lab.https_port, "servers": {
                "plain": { "listen": [format!("{host}:{}", lab.http_port)], "routes": [], "automatic_https": { "disable": true } },
                "tls": {
                    "listen": [format!("{host}:{}", lab.https_port)],
                    "routes": [{ "match": [{ "host": lab.names }], "handle": [{ "handler": "static_response", "body": "ok" }] }],
                    "automatic_https": { "disable_redirects": true },
                },
            } },
            "tls": { "automation": automation },
        },
    })
}

/// Starts one instance; between two looks for renewals it waits so long, or as it usually does.
pub fn start(lab: &Lab, node: usize, interval_seconds: Option<u64>) -> Process {
    let dir = lab.dir().join(format!("caddy-{node}"));
    std::fs::create_dir_all(&dir).expect("a directory can be made");
    let config = dir.join("caddy.json");
    std::fs::write(&config, configuration(lab, node, interval_seconds).to_string()).expect("the configuration can be written");
    let mut command = Command::new("caddy");
    command.args(["run", "--config"]).arg(&config).env("HOME", &dir).env("XDG_DATA_HOME", &dir).env("XDG_CONFIG_HOME", &dir);
    Process::start("caddy", &mut command, &dir.join("log")).expect("caddy can be started")
}

fn start_all(lab: &Lab) -> Vec<Process> {
    (0..lab.hosts.len()).map(|node| start(lab, node, None)).collect()
}

/// Until all of these nodes serve everything; [`LIMIT`] if they do not within that.
async fn until(lab: &Lab, nodes: &[usize]) -> Duration {
    let looker = Looker::trusting(&lab.pebble.issuing_root().await);
    let start = Instant::now();
    for node in nodes {
        for name in &lab.names {
            while !looker.sees(lab.https(*node), name).await {
                if start.elapsed() > LIMIT {
                    eprintln!("caddy: {name} is not served by instance {node} after {LIMIT:?}; counted as that");
                    return LIMIT;
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }
    start.elapsed()
}

/// Starts all instances at once; how long until all serve everything.
pub async fn until_all_serve_all(lab: &Lab) -> (Duration, Vec<Process>) {
    let nodes = start_all(lab);
    let all: Vec<usize> = (0..nodes.len()).collect();
    (until(lab, &all).await, nodes)
}

/// Kills the instance whose challenge the CA has accepted; how long until the others serve the certificate.
pub async fn until_others_serve_it(lab: &Lab) -> Duration {
    let mut nodes = start_all(lab);
    let start = Instant::now();
    let driver = loop {
        if let Some(driver) = nodes.iter().position(|node| node.output().contains("challenge accepted")) {
            break driver;
        }
        assert!(start.elapsed() < LIMIT, "no caddy solves a challenge after {LIMIT:?}; see {}", lab.dir().display());
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    nodes[driver].kill();
    let killed = Instant::now();
    lab.without(driver).await;
    let others: Vec<usize> = (0..nodes.len()).filter(|n| *n != driver).collect();
    until(lab, &others).await;
    killed.elapsed()
}
