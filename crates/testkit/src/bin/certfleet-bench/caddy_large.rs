//! The peer in the large: ten Caddy instances on a shared directory.
//!
//! **Spread.** Instances look for renewals of others only at their own interval, ten minutes unless configured, and only for certificates that
//! are near their end. So the interval is made [`INTERVAL_SECONDS`], the CA's certificates short, and the instances start one after the other
//! over one interval, as machines do. A publication is from the renewing instance's "certificate renewed successfully" (it has stored it then)
//! until the last of the others says "replaced certificate in cache". At the usual interval it takes as many times longer as that is.
//!
//! **Rest.** The directory is filled with certificates in Caddy's own layout before the start, made here and valid for months: Caddy orders
//! ten a minute and issuer at most from its own limits, so real orders would take an hour and change nothing of an idle instance.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use certfleet_testkit::Process;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::{LIMIT, Lab, caddy, measure};

/// Between two looks of an instance.
pub const INTERVAL_SECONDS: u64 = 10;
/// The interval when it is not configured.
pub const USUAL_SECONDS: u64 = 600;
/// How long the CA's certificates live for the publications: they are renewed when a third of that is left.
pub const LIFE_SECONDS: u64 = 90;
/// How many names are renewed again and again.
pub const NAMES: usize = 10;
/// Longest run for the publications.
const SPREAD_MAX: Duration = Duration::from_secs(900);
const RENEWED: &str = "certificate renewed successfully";
const REPLACED: &str = "replaced certificate in cache";

/// The times of so many publications, in milliseconds, sorted.
pub async fn spread(lab: &Lab, publications: usize) -> Vec<i64> {
    let mut nodes = Vec::new();
    for node in 0..lab.hosts.len() {
        nodes.push(caddy::start(lab, node, Some(INTERVAL_SECONDS)));
        tokio::time::sleep(Duration::from_secs(INTERVAL_SECONDS) / u32::try_from(lab.hosts.len()).unwrap_or(1)).await;
    }
    let start = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(INTERVAL_SECONDS)).await;
        let mut times = publications_in(&nodes);
        if times.len() >= publications || start.elapsed() > SPREAD_MAX {
            times.sort_unstable();
            return times;
        }
    }
}

/// What the logs tell of publications that have come to an end: all others have it, or the next one has begun.
fn publications_in(nodes: &[Process]) -> Vec<i64> {
    let logs: Vec<Vec<(i64, String, String)>> = nodes.iter().map(|node| events(&node.output())).collect();
    let mut renewals: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (at, what, name) in logs.iter().flatten().filter(|(_, what, _)| what == RENEWED) {
        let _ = what;
        renewals.entry(name).or_default().push(*at);
    }
    let mut times = Vec::new();
    for (name, mut moments) in renewals {
        moments.sort_unstable();
        for window in moments.windows(2) {
            let seen = logs.iter().filter_map(|log| {
                log.iter()
                    .find(|(at, what, of)| what == REPLACED && of == name && *at >= window[0] - 1 && *at < window[1])
                    .map(|(at, ..)| at - window[0])
            });
            // Who never took it up had it replaced by the next one only.
            let seen: Vec<i64> = seen.collect();
            let missing = seen.len() < logs.len();
            times.push(if missing { window[1] - window[0] } else { seen.into_iter().max().unwrap_or_default() });
        }
    }
    times
}

/// (milliseconds, message, name) of the lines that matter.
fn events(log: &str) -> Vec<(i64, String, String)> {
    let lines = log.lines().filter(|line| line.contains(RENEWED) || line.contains(REPLACED));
    let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values
        .filter_map(|line| {
            let name = line["identifier"].as_str().or_else(|| line["subjects"][0].as_str())?.to_owned();
            Some(((line["ts"].as_f64()? * 1000.0) as i64, line["msg"].as_str()?.to_owned(), name))
        })
        .collect()
}

/// What idle instances cost: processor time in percent of a core (mean, busiest), and memory in megabytes.
pub async fn rest(lab: &Lab, rest: Duration, span: Duration) -> (f64, f64, f64) {
    fill(lab);
    let nodes: Vec<Process> = (0..lab.hosts.len()).map(|node| caddy::start(lab, node, None)).collect();
    let start = Instant::now();
    while !nodes.iter().all(|node| node.output().contains("serving initial configuration")) {
        assert!(start.elapsed() < LIMIT, "caddy does not serve after {LIMIT:?}; see {}", lab.dir().display());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(rest).await;
    let ticks = || nodes.iter().map(|node| measure::ticks(node.id())).collect::<Vec<f64>>();
    let (before, start) = (ticks(), Instant::now());
    tokio::time::sleep(span).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu: Vec<f64> = before.iter().zip(ticks()).map(|(before, after)| measure::percent(after - before, seconds)).collect();
    let count = nodes.len() as f64;
    let memory = nodes.iter().map(|node| measure::resident_mb(node.id())).sum::<f64>() / count;
    assert_eq!(lab.pebble.orders_seen(), 0, "the certificates that were there were not taken");
    (cpu.iter().sum::<f64>() / count, cpu.iter().copied().fold(0.0, f64::max), memory)
}

/// Puts a certificate for each name where Caddy would have stored it.
fn fill(lab: &Lab) {
    let (issuer, root) = authority().expect("a CA can be made");
    let url = lab.pebble.directory_url();
    let place = url.trim_start_matches("https://").replace([':', '/'], "-");
    for name in &lab.names {
        let dir = lab.dir().join("caddy-storage/certificates").join(&place).join(name);
        write(&dir, name, &issuer, &root).expect("a certificate can be stored");
    }
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), root))
}

fn write(dir: &Path, name: &str, issuer: &Issuer<'_, KeyPair>, root: &str) -> std::io::Result<()> {
    let key = KeyPair::generate().map_err(std::io::Error::other)?;
    let params = CertificateParams::new(vec![name.to_owned()]).map_err(std::io::Error::other)?;
    let leaf = params.signed_by(&key, issuer).map_err(std::io::Error::other)?.pem();
    fs::create_dir_all(dir)?;
    fs::write(dir.join(format!("{name}.crt")), format!("{leaf}{root}"))?;
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    fs::write(dir.join(format!("{name}.json")), json!({ "sans": [name], "issuer_data": { "url": "" } }).to_string())
}
