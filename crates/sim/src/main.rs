//! `certfleet-sim`: runs seeds, on all cores, and tells of the first that went wrong.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use certfleet_core::names::NodeName;
use certfleet_sim::ca::Limit;
use certfleet_sim::less::Numbers;
use certfleet_sim::scale::ScaleArguments;
use certfleet_sim::shrink::shrink;
use certfleet_sim::{Less, Report, run, run_less};
use clap::Parser;

/// Runs simulated fleets, one for each seed.
#[derive(Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  certfleet-sim --seeds 2000\n  certfleet-sim --from 4711 --seeds 1 --history"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Prints what happened, also when all went well.
    #[arg(long)]
    history: bool,
    /// Leaves faults out, by their numbers: 3,7-12.
    #[arg(long, default_value = "")]
    without: Numbers,
    /// Leaves machines out.
    #[arg(long, value_delimiter = ',')]
    without_nodes: Vec<NodeName>,
    /// Leaves certificates out.
    #[arg(long, value_delimiter = ',')]
    without_certificates: Vec<String>,
    /// Ends the faults at this moment, in milliseconds after the world began.
    #[arg(long)]
    end_ms: Option<u64>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Scale(ScaleArguments),
}

impl Arguments {
    fn less(&self) -> Less {
        Less {
            faults: self.without.0.clone(),
            nodes: self.without_nodes.iter().cloned().collect(),
            certs: self.without_certificates.iter().cloned().collect(),
            end: self.end_ms.map(Duration::from_millis),
        }
    }
}

#[derive(Debug, Default)]
struct Sum {
    issued: usize,
    extra: usize,
    revoked: usize,
    limited: BTreeMap<Limit, usize>,
    node_time: Duration,
    wrong: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Scale(scale)) = &arguments.command {
        return scale.main();
    }
    let less = arguments.less();
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
                    add(&sum, run_less(seed, &less), arguments.history);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics while holding it");
    let years = sum.node_time.as_secs_f64() / (365.25 * 86_400.0);
    eprintln!(
        "{} seeds in {:.1} s: {years:.2} node-years, {} certificates ({} extra ones, by lost writes; {} revoked), refused by limits: {}, {} went wrong",
        arguments.seeds,
        start.elapsed().as_secs_f64(),
        sum.issued,
        sum.extra,
        sum.revoked,
        refused(&sum.limited),
        sum.wrong.len()
    );
    sum.wrong.iter().for_each(|(seed, why)| eprintln!("seed {seed}: {why} (certfleet-sim --from {seed} --seeds 1 --history{less})"));
    let Some((seed, _)) = sum.wrong.first().filter(|_| !arguments.history) else { return exit(sum.wrong.is_empty()) };
    println!("{}", shrink(run(*seed), |less| run_less(*seed, less)).told());
    ExitCode::FAILURE
}

fn exit(all_is_well: bool) -> ExitCode {
    if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add(sum: &Mutex<Sum>, report: Report, tells: bool) {
    if tells {
        print!("{}", report.history);
    }
    let mut sum = sum.lock().expect("no thread panics while holding it");
    sum.issued += report.issued;
    sum.extra += report.extra;
    sum.revoked += report.revoked;
    for (limit, count) in report.limited {
        *sum.limited.entry(limit).or_default() += count;
    }
    sum.node_time += report.simulated * u32::try_from(report.nodes).unwrap_or(1);
    sum.wrong.extend(report.wrong.map(|why| (report.seed, why)));
}

fn refused(limited: &BTreeMap<Limit, usize>) -> String {
    let each: Vec<String> = limited.iter().map(|(limit, count)| format!("{count} {limit}")).collect();
    if each.is_empty() { "none".into() } else { each.join(", ") }
}
