//! `certfleet-sim`: runs seeds, on all cores, and tells of those that went wrong.

mod sum;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use certfleet_core::names::NodeName;
use certfleet_sim::scale::ScaleArguments;
use certfleet_sim::shrink::shrink;
use certfleet_sim::variant::Numbers;
use certfleet_sim::{Variant, run_variant};
use clap::Parser;
use sum::Sum;

/// Runs simulated fleets, one for each seed.
#[derive(Debug, Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  certfleet-sim --seeds 2000\n  certfleet-sim --from 4711 --seeds 1 --history\n  \
                  certfleet-sim --seeds 2000 --rare 3"
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
    /// Removals, copies, lost and full disks, backups and forged records come so many times as often: at most in each world one of each kind.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rare: Option<u64>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Scale(ScaleArguments),
}

impl Arguments {
    fn variant(&self) -> Variant {
        Variant {
            faults: self.without.0.clone(),
            nodes: self.without_nodes.iter().cloned().collect(),
            certs: self.without_certificates.iter().cloned().collect(),
            end: self.end_ms.map(Duration::from_millis),
            rare: self.rare,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Scale(scale)) = &arguments.command {
        return scale.main();
    }
    let (variant, end) = (arguments.variant(), arguments.from.saturating_add(arguments.seeds));
    let (next, sum) = (AtomicU64::new(arguments.from), Mutex::new(Sum::start()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end) {
                    let report = run_variant(seed, &variant);
                    if arguments.history {
                        print!("{}", report.history);
                    }
                    sum.lock().expect("no thread panics while holding it").add(report, arguments.seeds, &variant);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("no thread panics while holding it");
    eprintln!("{}", sum.told());
    let whole = Variant { rare: variant.rare, ..Variant::default() };
    if let Some(seed) = sum.wrong.filter(|_| !arguments.history && variant == whole) {
        println!("{}", shrink(run_variant(seed, &whole), whole, |variant| run_variant(seed, variant)).told());
    }
    if sum.wrong.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
