//! What an idle fleet costs: requests on its engine, and the nodes' time on the processor.
//!
//! The method: ten real daemons get all certificates by real orders, which the first of them drives. When every node has installed and reported everything and a minute has
//! passed, the engine's own count of requests (or, where it has none, the nodes' count of what they asked of it) and the kernel's count of each node's processor time are read, and once more at the end.

use std::time::{Duration, Instant};

use crate::certfleet::Fleet;
use crate::engines::Engine;
use crate::{Lab, measure};

/// How long a fleet may take to get all of its certificates.
const FILL: Duration = Duration::from_secs(1800);
/// How long it is left alone before it is watched.
pub const REST: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Debug)]
pub struct Quiet {
    /// How long it took until all had all.
    pub filled: Duration,
    /// Requests on the engine in a second, by all nodes.
    pub requests: f64,
    /// Of one core, in percent, a node in the mean.
    pub cpu_mean: f64,
    /// The busiest node.
    pub cpu_max: f64,
    /// Of a node in the mean, in megabytes.
    pub resident_mb: f64,
}

/// Watches an idle fleet for `span`.
pub async fn measure(lab: &Lab, engine: &Engine, span: Duration) -> Quiet {
    let fleet = Fleet::prepare_on(lab, &crate::certfleet_program(), &engine.store);
    let (filled, nodes) = fleet.until_all_have_all_from_one(lab, FILL).await;
    tokio::time::sleep(REST).await;
    let ticks = || nodes.iter().map(|node| measure::ticks(node.id())).collect::<Vec<f64>>();
    let (requests, before, start) = (engine.requests(&fleet).await, ticks(), Instant::now());
    tokio::time::sleep(span).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu: Vec<f64> = before.iter().zip(ticks()).map(|(before, after)| measure::percent(after - before, seconds)).collect();
    let requests = (engine.requests(&fleet).await - requests) / seconds;
    let count = nodes.len() as f64;
    let resident_mb = nodes.iter().map(|node| measure::resident_mb(node.id())).sum::<f64>() / count;
    Quiet { filled, requests, cpu_mean: cpu.iter().sum::<f64>() / count, cpu_max: cpu.iter().copied().fold(0.0, f64::max), resident_mb }
}
