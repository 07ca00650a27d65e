//! Ten nodes on each engine: what is measured of them, and the table.

use std::env;
use std::time::Duration;

use certfleet_testkit::pebble::PebbleOptions;

use crate::quiet::{self, Quiet};
use crate::spread::{self, percentile};
use crate::{Lab, caddy, caddy_large, engines};

/// How many machines these fleets have.
pub const NODES: u8 = 10;
/// How many publications are measured, unless `PUBLICATIONS` says otherwise.
const PUBLICATIONS: u64 = 50;
/// How many certificates the idle fleet has, unless `CERTIFICATES` says otherwise.
const CERTIFICATES: u64 = 1_000;
/// How long it is watched, in seconds, unless `SECONDS` says otherwise.
const SECONDS: u64 = 120;

fn wanted(variable: &str, usual: u64) -> u64 {
    env::var(variable).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// Measures on all engines, or on those that `ENGINES` names (`etcd,redis`).
pub async fn run() {
    let named = env::var("ENGINES").ok();
    let chosen = engines::ALL.into_iter().filter(|name| named.as_deref().is_none_or(|named| named.split(',').any(|one| one == *name)));
    let (publications, certificates, seconds) =
        (wanted("PUBLICATIONS", PUBLICATIONS), wanted("CERTIFICATES", CERTIFICATES), wanted("SECONDS", SECONDS));
    println!(
        "\n| {NODES} nodes on | published → installed by the last (p50, p99 and worst of {publications}, or of as many as are in brackets) | idle with {certificates} certificates, {seconds} s: requests/s on the engine | CPU of a node (mean, busiest) | memory of a node | all had all after |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for name in chosen {
        let times = match publications.min(engines::publications_max(name)) {
            0 => Vec::new(),
            few => publish(name, few).await,
        };
        let quiet = match certificates {
            0 => None,
            _ => idle(name, certificates, Duration::from_secs(seconds)).await,
        };
        print_row(name, &times, quiet.as_ref());
    }
    if named.as_deref().is_none_or(|named| named.contains("caddy")) {
        beside(publications, certificates, Duration::from_secs(seconds)).await;
    }
}

/// The peer, in the same table.
async fn beside(publications: u64, certificates: u64, span: Duration) {
    let Some(version) = caddy::version() else { return eprintln!("SKIPPED: caddy is not installed (apt-get install caddy)") };
    let mut spread = "–".to_owned();
    if publications > 0 {
        eprintln!("{version}: {publications} publications to {NODES} instances");
        let tune = |pebble: &mut PebbleOptions| pebble.certificate_validity_seconds = Some(caddy_large::LIFE_SECONDS);
        let lab = Lab::of(NODES, caddy_large::NAMES, tune).await;
        let times = caddy_large::spread(&lab, usize::try_from(publications).expect("few")).await;
        let (every, times_longer) = (caddy_large::INTERVAL_SECONDS, caddy_large::USUAL_SECONDS / caddy_large::INTERVAL_SECONDS);
        spread = format!(
            "{} ms, {} ms, {} ms ({} seen) when it looks every {every} s; usually {times_longer} times that",
            percentile(&times, 50),
            percentile(&times, 99),
            times.last().copied().unwrap_or_default(),
            times.len()
        );
    }
    if certificates == 0 {
        return println!("| {version}, a shared directory | {spread} | – | – | – | – |");
    }
    eprintln!("{version}: {NODES} instances with {certificates} certificates, idle for {} s", span.as_secs());
    let lab = Lab::of(NODES, usize::try_from(certificates).expect("few"), |_| {}).await;
    let (mean, busiest, memory) = caddy_large::rest(&lab, quiet::REST, span).await;
    println!("| {version}, a shared directory | {spread} | – | {mean:.3} %, {busiest:.3} % | {memory:.1} MB | put there |");
}

async fn publish(name: &'static str, publications: u64) -> Vec<i64> {
    eprintln!("{name}: {publications} publications to {NODES} nodes");
    let lab = Lab::of(NODES, 1, |_| {}).await;
    let Some(engine) = engines::start(name, &lab).await else { return Vec::new() };
    spread::measure(&lab, &engine, publications).await
}

async fn idle(name: &'static str, certificates: u64, span: Duration) -> Option<Quiet> {
    eprintln!("{name}: {NODES} nodes with {certificates} certificates, idle for {} s", span.as_secs());
    // Looking for authorizations that can be used again, pebble 2.4 comes to a stand when a thousand orders arrive.
    let lab = Lab::of(NODES, usize::try_from(certificates).expect("few"), |pebble| pebble.authz_reuse_percent = 0).await;
    let engine = engines::start(name, &lab).await?;
    Some(quiet::measure(&lab, &engine, span).await)
}

fn print_row(name: &str, times: &[i64], quiet: Option<&Quiet>) {
    let spread = match times.last() {
        Some(worst) => format!("{} ms, {} ms, {worst} ms ({})", percentile(times, 50), percentile(times, 99), times.len()),
        None => "–".into(),
    };
    let Some(quiet) = quiet else { return println!("| `{name}` | {spread} | – | – | – | – |") };
    println!(
        "| `{name}` | {spread} | {:.2} | {:.3} %, {:.3} % | {:.1} MB | {:.0} s |",
        quiet.requests,
        quiet.cpu_mean,
        quiet.cpu_max,
        quiet.resident_mb,
        quiet.filled.as_secs_f64()
    );
}
