//! `fleet`: what is changed for the fleet as a whole.

use std::path::{Path, PathBuf};

use certfleet_node::FORMAT;
use certfleet_node::operator::{Machine, MemberFormat, fleet_upgrade};
use clap::{Args, Subcommand};

use super::block_on;
use crate::failure::Failure;
use crate::out;
use crate::tables::Columns;

const NONE: &str = "-";

/// Changes the fleet as a whole.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet fleet upgrade")]
pub struct Fleet {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lets the fleet use this version's record format, once every member reads it
    ///
    /// Upgrade certfleet on all nodes first, one at a time; then give this once, on any of them.
    #[command(after_help = "Example:\n  certfleet fleet upgrade --fleet-key /media/stick/fleet.key")]
    Upgrade {
        /// The fleet key, if it is not in this machine's state directory
        #[arg(long, value_name = "FILE")]
        fleet_key: Option<PathBuf>,
    },
}

impl Fleet {
    /// Does it.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let What::Upgrade { fleet_key } = self.what;
        let machine = Machine::load(config, None)?;
        let mut shown = Ok(());
        let show = |members: &[MemberFormat]| shown = out::data(&table(members));
        let upgrade = block_on(async { Ok(fleet_upgrade(&machine, FORMAT, fleet_key.as_deref(), show).await?) })?;
        shown?;
        if upgrade.from == upgrade.to {
            out::talk(&format!("the fleet uses format {} already; nothing to do", upgrade.to));
            return Ok(());
        }
        out::talk(&format!("the fleet uses format {} now, where it used {}", upgrade.to, upgrade.from));
        for node in &upgrade.behind {
            out::talk(&format!(
                "node {node} is not running and did not say that it reads it: it stands still until certfleet is upgraded there"
            ));
        }
        Ok(())
    }
}

fn table(members: &[MemberFormat]) -> String {
    let mut columns = Columns::new(["NODE", "LIVE", "VERSION", "READS"]);
    for member in members {
        columns.row([
            member.name.to_string(),
            if member.live { "yes" } else { "no" }.to_owned(),
            member.version.clone().unwrap_or_else(|| NONE.to_owned()),
            member.reads_format.map_or_else(|| NONE.to_owned(), |format| format!("format {format}")),
        ]);
    }
    columns.print(out::stdout_columns())
}
