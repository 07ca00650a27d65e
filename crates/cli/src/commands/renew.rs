//! `renew`: a new generation, now.

use std::path::Path;
use std::time::Duration;

use certfleet_node::names::CertName;
use certfleet_node::operator::{Machine, renew};
use clap::Args;

use super::block_on;
use super::wait::Goal;
use crate::failure::Failure;
use crate::{out, spans};

/// Asks the fleet for a new generation now; waits that follow failed attempts are dropped.
///
/// If an attempt runs already, that one is what was asked for.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  certfleet renew example.com --wait\n  certfleet renew example.com --new-key     with `key.reuse`, once a key has served its time"
)]
pub struct Renew {
    /// The certificate
    #[arg(value_name = "CERT")]
    cert: CertName,
    /// With a fresh key, where `key.reuse` keeps the old one
    #[arg(long)]
    new_key: bool,
    /// Wait until every node was seen serving the new generation
    #[arg(long)]
    wait: bool,
    /// How long to wait at the most
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = spans::parse, requires = "wait")]
    timeout: Duration,
}

impl Renew {
    /// Writes the wish into the certificate's record.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        block_on(async {
            let before = renew(&machine, &self.cert, self.new_key).await?;
            let now = before.map_or("it has none yet".to_owned(), |generation| format!("now it has {generation}"));
            let fresh = if self.new_key { ", with a fresh key" } else { "" };
            out::talk(&format!("asked for a new generation of {}{fresh} ({now})", self.cert));
            if !self.wait {
                return Ok(());
            }
            let from = before.unwrap_or_default().next();
            Goal { cert: self.cert, from, verified: true }.reach(&machine, self.timeout).await
        })
    }
}
