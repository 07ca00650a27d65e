//! `certfleet-sim`: runs seeds, on all cores, and tells of the first that went wrong.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use certfleet_sim::{Report, run};
use clap::Parser;

/// Runs simulated fleets, one for each seed.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  certfleet-sim --seeds 2000\n  certfleet-sim --from 4711 --seeds 1 --history")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Prints what happened, also when all went well.
    #[arg(long)]
    history: bool,
}

#[derive(Debug, Default)]
struct Sum {
    issued: usize,
    node_time: Duration,
    wrong: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (next, sum, start) = (AtomicU64::new(arguments.from), Mutex::new(Sum::default()), Instant::now());
    let end = arguments.from.saturating_add(arguments.seeds);
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    add(&sum, run(seed), arguments.history);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics while holding it");
    let years = sum.node_time.as_secs_f64() / (365.25 * 86_400.0);
    eprintln!(
        "{} seeds in {:.1} s: {years:.2} node-years, {} certificates, {} went wrong",
        arguments.seeds,
        start.elapsed().as_secs_f64(),
        sum.issued,
        sum.wrong.len()
    );
    sum.wrong.iter().for_each(|(seed, why)| eprintln!("seed {seed}: {why} (certfleet-sim --from {seed} --seeds 1 --history)"));
    if sum.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add(sum: &Mutex<Sum>, report: Report, tells: bool) {
    if tells {
        print!("{}", report.history);
    }
    let mut sum = sum.lock().expect("no thread panics while holding it");
    sum.issued += report.issued;
    sum.node_time += report.simulated * u32::try_from(report.nodes).unwrap_or(1);
    sum.wrong.extend(report.wrong.map(|why| (report.seed, why)));
}
