//! `wait`: until a certificate is issued, or seen served everywhere.

use std::path::Path;
use std::time::{Duration, Instant};

use certfleet_node::names::{CertName, Generation};
use certfleet_node::operator::Machine;
use certfleet_node::records::TargetState;
use certfleet_node::status::{CertificateStatus, Status};
use clap::Args;

use super::block_on;
use super::status::unknown;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{out, spans, tables};

/// How often the status is looked at, in milliseconds.
const LOOK_MS: u64 = 300;
/// How many targets that are not there yet are named.
const TARGETS_SHOWN_MAX: usize = 3;

/// Waits until a certificate is issued; with --verified, until every node was seen serving it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  certfleet wait example.com --verified --timeout 2m
  certfleet wait example.com --newer-than 3")]
pub struct Wait {
    /// The certificate
    #[arg(value_name = "CERT")]
    cert: CertName,
    /// Until every target was seen serving it
    #[arg(long)]
    verified: bool,
    /// Until this generation or a later one is placed
    #[arg(long, value_name = "N", conflicts_with = "newer_than")]
    generation: Option<u64>,
    /// Until a later generation than this one is placed
    #[arg(long, value_name = "N")]
    newer_than: Option<u64>,
    /// How long at the most
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = spans::parse)]
    timeout: Duration,
}

impl Wait {
    /// Waits.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        let from = self.generation.or_else(|| self.newer_than.map(|n| n.saturating_add(1))).unwrap_or(0);
        let goal = Goal { cert: self.cert, from: Generation(from), verified: self.verified };
        block_on(goal.reach(&machine, self.timeout))
    }
}

/// What is waited for.
#[derive(Debug)]
pub struct Goal {
    /// Of which certificate.
    pub cert: CertName,
    /// The placed generation is this or a later one.
    pub from: Generation,
    /// And every target serves it.
    pub verified: bool,
}

impl Goal {
    /// Looks until it is so, or until `timeout` has passed.
    pub async fn reach(&self, machine: &Machine, timeout: Duration) -> Result<(), Failure> {
        let end = Instant::now() + timeout;
        let (status, remark) = machine.status().await?;
        remark.iter().for_each(|remark| out::talk(remark));
        let mut progress = Progress::start();
        let mut missing = self.missing(&status)?;
        while let Some(what) = &missing {
            progress.say(what);
            if Instant::now() >= end {
                drop(progress);
                let what = format!("{} is not there after {}: {what}", self.cert, spans::short(timeout));
                return Err(Failure::refused(what, format!("it goes on by itself; `certfleet status {}` says how far it is", self.cert)));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_MS).min(end.saturating_duration_since(Instant::now()))).await;
            missing = match machine.status().await {
                Ok((status, _)) => self.missing(&status)?,
                // A daemon that is being restarted comes back.
                Err(error) => Some(error.in_two_lines().what),
            };
        }
        Ok(())
    }

    /// What is not yet so; none if all is.
    fn missing(&self, status: &Status) -> Result<Option<String>, Failure> {
        let certificate = status.certificate(&self.cert).ok_or_else(|| unknown(status, &self.cert))?;
        let placed = certificate.generation.filter(|generation| *generation >= self.from);
        let missing = match placed {
            None => Some(not_issued(certificate)),
            Some(_) if self.verified && !certificate.is_verified() => Some(not_verified(status, certificate)),
            Some(_) => None,
        };
        Ok(missing.map(|what| out::printable(&what)))
    }
}

fn not_issued(certificate: &CertificateStatus) -> String {
    let has = certificate.generation.map_or("no generation yet".to_owned(), |generation| format!("generation {generation} is the latest"));
    let attempt = certificate.attempt.as_ref().map(|attempt| {
        let driver = attempt.holder.as_ref().map(|holder| format!(" on {holder}")).unwrap_or_default();
        format!("attempt {} is {}{driver}", attempt.number, attempt.step)
    });
    let parts = [Some(has), attempt, certificate.last_error.clone(), certificate.waiting.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn not_verified(status: &Status, certificate: &CertificateStatus) -> String {
    let targets = certificate.nodes.iter().flat_map(|node| node.targets.iter().map(move |target| (&node.node, target)));
    let missing: Vec<String> = targets
        .filter(|(_, target)| target.state != TargetState::Verified)
        .map(|(node, target)| {
            let is_live = status.fleet.nodes.iter().any(|known| known.name == *node && known.live);
            let reason = target.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let node_state = if is_live { "" } else { ", and the node is not live" };
            format!("{} on {node} is {}{reason}{node_state}", target.target, tables::state(target.state))
        })
        .collect();
    let surplus = missing.len().saturating_sub(TARGETS_SHOWN_MAX);
    match missing.len() {
        0 => "no node has a target for it".to_owned(),
        _ if surplus > 0 => format!("{}; and {surplus} more", missing[..TARGETS_SHOWN_MAX].join("; ")),
        _ => missing.join("; "),
    }
}
