//! `certfleet-sim scale`: one run, told on the way; its figures as Markdown, its curve as a picture.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use super::{Scale, markdown, run, svg};

/// Runs one large fleet through a certificate's life, and prints what it asks of its CA, its store and its nodes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  certfleet-sim scale --life-days 45 --svg curve.svg\n  certfleet-sim scale --nodes 100 --certificates 5000 --new"
)]
pub struct ScaleArguments {
    /// Nodes, those that issue among them.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    nodes: u64,
    /// Certificates.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=9_999_999))]
    certificates: u64,
    /// How long a certificate lives, and the run takes.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=400))]
    life_days: u32,
    /// Nodes that drive orders; each has a view of everything.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    issuers: u64,
    /// On how many nodes each certificate is placed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    placed_on: u64,
    /// Deploying nodes that decide for themselves.
    #[arg(long, default_value_t = 2)]
    sampled: u64,
    /// Over how many hours before the beginning the certificates were issued.
    #[arg(long, default_value_t = 24)]
    issued_over_hours: u32,
    /// No certificate was issued before.
    #[arg(long)]
    new: bool,
    /// Where the renewal curve goes.
    #[arg(long)]
    svg: Option<PathBuf>,
}

impl ScaleArguments {
    fn scale(&self) -> Result<Scale, String> {
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (nodes, issuers, sampled) = (count(self.nodes), count(self.issuers), count(self.sampled));
        if issuers.saturating_add(sampled.max(1)) > nodes {
            return Err(format!("{issuers} issuing and {sampled} deploying nodes are more than {nodes}; give --nodes more"));
        }
        Ok(Scale {
            issuers,
            sampled,
            placed_on: count(self.placed_on).min(nodes - issuers),
            issued_over_hours: self.issued_over_hours,
            new: self.new,
            ..Scale::new(nodes, count(self.certificates), self.life_days)
        })
    }

    /// Does it.
    pub fn main(&self) -> ExitCode {
        let scale = match self.scale() {
            Ok(scale) => scale,
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::from(2);
            }
        };
        let start = Instant::now();
        let figures = run(&scale, |day, placed| eprintln!("{:6.0} s: day {day}, {placed} placed", start.elapsed().as_secs_f64()));
        println!("{}", markdown(&figures));
        if let Some(path) = &self.svg
            && let Err(error) = std::fs::write(path, svg(&figures))
        {
            eprintln!("{} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
        if figures.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
