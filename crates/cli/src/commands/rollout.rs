//! `rollout`: back to an older generation, or on after a halt.

use std::path::Path;

use certfleet_node::names::{CertName, Generation};
use certfleet_node::operator::{Machine, rollout_back, rollout_resume};
use clap::{Args, Subcommand};

use super::block_on;
use crate::failure::Failure;
use crate::out;

/// Goes back to an older generation, or on after a halt.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  certfleet rollout back example.com\n  certfleet rollout resume example.com")]
pub struct Rollout {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Makes the fleet serve an older generation; the next renewal waits for a day
    #[command(after_help = "Example:\n  certfleet rollout back example.com --to 3")]
    Back {
        /// The certificate
        #[arg(value_name = "CERT")]
        cert: CertName,
        /// Which generation [default: the one before]
        #[arg(long, value_name = "N")]
        to: Option<u64>,
    },
    /// Lets a halted rollout go on
    #[command(after_help = "Example:\n  certfleet rollout resume example.com")]
    Resume {
        /// The certificate
        #[arg(value_name = "CERT")]
        cert: CertName,
    },
}

impl Rollout {
    /// Changes the certificate's record.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        block_on(async {
            match self.step {
                Step::Back { cert, to } => {
                    let (from, to) = rollout_back(&machine, &cert, to.map(Generation)).await?;
                    out::talk(&format!("{cert} goes back from generation {from} to {to}; `certfleet wait {cert} --verified` follows it"));
                }
                Step::Resume { cert } => {
                    rollout_resume(&machine, &cert).await?;
                    out::talk(&format!("the rollout of {cert} goes on; `certfleet wait {cert} --verified` follows it"));
                }
            }
            Ok(())
        })
    }
}
