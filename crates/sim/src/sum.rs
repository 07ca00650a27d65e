//! What came of many seeds, told while they run and when they have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use certfleet_sim::ca::Limit;
use certfleet_sim::{Report, Variant};

/// How often is told how far it is.
const PROGRESS: Duration = Duration::from_secs(30);
const YEAR_SECONDS: f64 = 365.25 * 86_400.0;

/// What came of them so far.
#[derive(Debug)]
pub struct Sum {
    /// The first that went wrong.
    pub wrong: Option<u64>,
    start: Instant,
    told: Instant,
    seeds: u64,
    wrongs: u64,
    issued: usize,
    extra: usize,
    revoked: usize,
    limited: BTreeMap<Limit, usize>,
    fleet_time: Duration,
    node_time: Duration,
}

impl Sum {
    /// Of none.
    pub fn start() -> Self {
        let now = Instant::now();
        let (fleet_time, node_time) = (Duration::ZERO, Duration::ZERO);
        let limited = BTreeMap::new();
        Self { wrong: None, start: now, told: now, seeds: 0, wrongs: 0, issued: 0, extra: 0, revoked: 0, limited, fleet_time, node_time }
    }

    /// One of `of` more; tells at once if it went wrong.
    pub fn add(&mut self, report: Report, of: u64, variant: &Variant) {
        self.seeds += 1;
        self.issued += report.issued;
        self.extra += report.extra;
        self.revoked += report.revoked;
        for (limit, count) in report.limited {
            *self.limited.entry(limit).or_default() += count;
        }
        self.fleet_time += report.simulated;
        self.node_time += report.simulated * u32::try_from(report.nodes).unwrap_or(1);
        if let Some(why) = report.wrong {
            let seed = report.seed;
            self.wrongs += 1;
            self.wrong = Some(self.wrong.map_or(seed, |first| first.min(seed)));
            eprintln!("seed {seed}: {why} (certfleet-sim --from {seed} --seeds 1 --history{variant})");
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            eprintln!("{} of {of} seeds, {} went wrong", self.seeds, self.wrongs);
        }
    }

    /// All of it, in a line.
    pub fn told(&self) -> String {
        let years = |time: Duration| time.as_secs_f64() / YEAR_SECONDS;
        format!(
            "{} seeds in {:.1} s: {:.2} fleet-years ({:.2} node-years), {} certificates ({} extra ones, by lost writes; {} revoked), \
             refused by limits: {}, {} went wrong",
            self.seeds,
            self.start.elapsed().as_secs_f64(),
            years(self.fleet_time),
            years(self.node_time),
            self.issued,
            self.extra,
            self.revoked,
            self.refused(),
            self.wrongs
        )
    }

    fn refused(&self) -> String {
        let each: Vec<String> = self.limited.iter().map(|(limit, count)| format!("{count} {limit}")).collect();
        if each.is_empty() { "none".into() } else { each.join(", ") }
    }
}
