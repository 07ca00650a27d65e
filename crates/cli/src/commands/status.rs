//! `status`: what the fleet looks like.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use certfleet_node::names::CertName;
use certfleet_node::operator::Machine;
use certfleet_node::status::Status as Document;
use clap::Args;

use super::block_on;
use crate::failure::Failure;
use crate::{out, tables};

/// How often `--watch` looks, in milliseconds.
const WATCH_MS: u64 = 1_000;
// Terminal sequences (ECMA-48): to the upper left corner, and what goes of the old screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_ALL: &str = "\x1b[2J";

/// Shows the fleet, its certificates, and what each node serves.
///
/// The daemon of this machine is asked; where none runs, the store is read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  certfleet status
  certfleet status example.com --exit-code       for monitoring: 1 if it is not well
  certfleet status --json | jq '.certificates[].state'")]
pub struct Status {
    /// This certificate only
    #[arg(value_name = "CERT")]
    cert: Option<CertName>,
    /// As JSON; docs/commands.md has the fields
    #[arg(long)]
    json: bool,
    /// Again every second, until Ctrl-C
    #[arg(long, conflicts_with = "exit_code")]
    watch: bool,
    /// Exit with 1 if something is not well
    #[arg(long)]
    exit_code: bool,
}

impl Status {
    /// Shows it, once or until stopped.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        block_on(async {
            let document = self.look(&machine, true).await?;
            if self.watch {
                return self.watch(&machine, document).await;
            }
            out::data(&self.text(&document))?;
            match self.exit_code && !document.is_well() {
                true => Err(Failure::NotWell),
                false => Ok(()),
            }
        })
    }

    async fn look(&self, machine: &Machine, say: bool) -> Result<Document, Failure> {
        let (mut document, remark) = machine.status().await?;
        remark.filter(|_| say).iter().for_each(|remark| out::talk(remark));
        let Some(cert) = &self.cert else { return Ok(document) };
        if document.certificate(cert).is_none() {
            return Err(unknown(&document, cert));
        }
        document.certificates.retain(|certificate| certificate.name == *cert);
        Ok(document)
    }

    fn text(&self, document: &Document) -> String {
        match self.json {
            true => serde_json::to_string_pretty(document).unwrap_or_default() + "\n",
            false => tables::status(document, out::stdout_columns()),
        }
    }

    async fn watch(&self, machine: &Machine, first: Document) -> Result<(), Failure> {
        let on_terminal = std::io::stdout().is_terminal() && !self.json;
        let mut shown: Result<Document, Failure> = Ok(first);
        if on_terminal {
            out::data(CLEAR_ALL)?;
        }
        loop {
            let text = match &shown {
                Ok(document) => self.text(document),
                Err(failure) => failure.line() + "\n",
            };
            match on_terminal {
                true => out::data(&screen(&text))?,
                false => out::data(&text)?,
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(WATCH_MS)) => {}
            }
            shown = self.look(machine, false).await;
        }
    }
}

/// Over the old screen, and no longer than it, since what scrolls away cannot be drawn over.
fn screen(text: &str) -> String {
    let lines_max = out::stdout_lines().map_or(usize::MAX, |lines| usize::from(lines).saturating_sub(1));
    let lines: Vec<String> = text.lines().take(lines_max).map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
    format!("{HOME}{}{CLEAR_BELOW}", lines.concat())
}

/// No configuration and no record has this name, or this node is not shown it.
pub fn unknown(document: &Document, cert: &CertName) -> Failure {
    if document.hidden.contains(cert) {
        return Failure::refused(
            format!("{cert} is not shown to {}, whose roles do not need it", document.node),
            "give the command on a node on which it is placed, or on one with the role issue",
        );
    }
    Failure::refused(format!("there is no certificate {cert}"), "`certfleet status` lists them")
}
