//! `history`: the latest attempts of a certificate.

use std::path::Path;

use certfleet_node::names::CertName;
use certfleet_node::operator::{Machine, history};
use certfleet_node::records::HistoryEntry;
use certfleet_node::status::describe_end;
use certfleet_node::time::until;
use clap::Args;
use serde_json::json;

use super::block_on;
use crate::failure::Failure;
use crate::tables::Columns;
use crate::{out, spans};

/// The version of the JSON document's form.
const SCHEMA: u32 = 1;

/// Shows the latest attempts of a certificate that ended, oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  certfleet history example.com")]
pub struct History {
    /// The certificate
    #[arg(value_name = "CERT")]
    cert: CertName,
    /// As JSON; docs/commands.md has the fields
    #[arg(long)]
    json: bool,
}

impl History {
    /// Reads the store.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        let entries = block_on(async { Ok(history(&machine, &self.cert).await?) })?;
        if self.json {
            return out::data(&format!("{:#}\n", json!({ "schema": SCHEMA, "certificate": self.cert, "attempts": entries })));
        }
        if entries.is_empty() {
            out::talk(&format!("no attempt for {} has ended yet", self.cert));
            return Ok(());
        }
        out::data(&table(&entries))
    }
}

fn table(entries: &[HistoryEntry]) -> String {
    let mut columns = Columns::new(["ATTEMPT", "STARTED", "TOOK", "ISSUER", "DRIVEN BY", "RESULT"]);
    for entry in entries {
        let drivers: Vec<&str> = entry.drivers.iter().map(|driver| driver.as_str()).collect();
        columns.row([
            entry.number.to_string(),
            spans::moment(entry.started_at),
            spans::short(until(entry.started_at, entry.ended_at)),
            entry.issuer.to_string(),
            drivers.join(", "),
            describe_end(&entry.end),
        ]);
    }
    columns.print(out::stdout_columns())
}
