//! `node`: who is in the fleet, and removing one.

use std::path::{Path, PathBuf};

use certfleet_node::config;
use certfleet_node::membership::{Change, NodeRow, NodeState, Removed, Renewal, RunningAttempt, list_nodes, remove_node};
use certfleet_node::names::NodeName;
use certfleet_node::operator::{Machine, OperatorError};
use certfleet_node::spec::Roles;
use certfleet_node::time::Timestamp;
use clap::{Args, Subcommand};
use serde_json::json;

use super::block_on;
use crate::failure::Failure;
use crate::tables::Columns;
use crate::{out, spans};

/// The version of the JSON document's form.
const SCHEMA: u32 = 1;
const NONE: &str = "-";

/// Shows who is in the fleet, or removes a node.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  certfleet node ls\n  certfleet node remove web-1\n  certfleet node remove web-1 --compromised")]
pub struct Node {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists members, machines that ask to be let in, and removed ones
    #[command(
        after_help = "Examples:\n  certfleet node ls\n  certfleet node ls --json | jq -r '.nodes[] | select(.state == \"joining\").name'"
    )]
    Ls {
        /// As JSON; docs/commands.md has the fields
        #[arg(long)]
        json: bool,
    },
    /// Ends a node's rights on every node, or turns away a machine that asks to be let in
    ///
    /// Doing it again changes nothing.
    #[command(after_help = "Examples:\n  certfleet node remove web-1                   it is switched off, or gets another use\n  \
                            certfleet node remove web-1 --compromised     somebody else may have its keys")]
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// The node
    #[arg(value_name = "NAME")]
    node: NodeName,
    /// Somebody else may have its keys: all that it could read is made anew
    #[arg(long)]
    compromised: bool,
    /// The fleet key, if it is not in this machine's state directory
    #[arg(long, value_name = "FILE")]
    fleet_key: Option<PathBuf>,
}

impl Node {
    /// Reads the store, or writes the fleet's record.
    pub fn run(self, config: &Path) -> Result<(), Failure> {
        let machine = Machine::load(config, None)?;
        match self.what {
            What::Ls { json } => list(&machine, json),
            What::Remove(remove) => remove.run(&machine),
        }
    }
}

fn list(machine: &Machine, json: bool) -> Result<(), Failure> {
    let (_, identity, view) = block_on(async { Ok(machine.standing().await?) })?;
    let rows = list_nodes(&view);
    if json {
        let epoch = view.fleet.as_ref().map(|fleet| fleet.epoch);
        let fleet = json!({ "id": identity.fleet, "name": identity.fleet_name, "epoch": epoch });
        return out::data(&format!("{:#}\n", json!({ "schema": SCHEMA, "fleet": fleet, "nodes": rows })));
    }
    out::data(&table(&rows, Timestamp::now(), out::stdout_columns()))
}

fn table(rows: &[NodeRow], now: Timestamp, width: Option<u16>) -> String {
    let mut columns = Columns::new(["NODE", "STATE", "GRANTED", "ROLES", "FINGERPRINT", "JOINED", "SEEN", "VERSION"]);
    for row in rows {
        columns.row([
            row.name.to_string(),
            state(row.state).to_owned(),
            listed(&row.granted),
            row.roles.as_ref().map_or_else(|| NONE.to_owned(), listed),
            row.fingerprint.clone(),
            spans::moment(row.joined_at),
            row.seen_at.map_or_else(|| "never".to_owned(), |at| spans::ago(now, at)),
            row.version.clone().unwrap_or_else(|| NONE.to_owned()),
        ]);
    }
    columns.print(width)
}

/// As in JSON.
fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Member => "member",
        NodeState::Joining => "joining",
        NodeState::Removed => "removed",
        NodeState::Compromised => "compromised",
    }
}

fn listed(roles: &Roles) -> String {
    match roles.is_empty() {
        true => NONE.to_owned(),
        false => roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    }
}

impl Remove {
    fn run(&self, machine: &Machine) -> Result<(), Failure> {
        let removed = block_on(async {
            let (store, identity, view) = machine.standing().await?;
            let fleet_key = machine.fleet_key(self.fleet_key.as_deref())?;
            let what = (&self.node, self.compromised);
            let removed = remove_node(store.as_ref(), &machine.settings, &identity, &view, what, &fleet_key, Timestamp::now()).await;
            Ok(removed.map_err(OperatorError::from)?)
        })?;
        self.told(&removed, machine).iter().for_each(|line| out::talk(line));
        Ok(())
    }

    /// What came of it, and what is left to do.
    fn told(&self, removed: &Removed, machine: &Machine) -> Vec<String> {
        let (node, fleet) = (&self.node, &machine.settings.fleet);
        if removed.was_joining {
            return vec![
                format!("node {node} asked to join fleet {fleet}, and is turned away"),
                "a token that is not used up lets the machine ask again until it expires: wait for that, or keep the token from it"
                    .to_owned(),
            ];
        }
        let already = if self.compromised { "removed as compromised" } else { "removed" };
        let mut lines = vec![match removed.change {
            Change::Nothing => format!("node {node} of fleet {fleet} is {already} already; nothing changed"),
            Change::Made => format!("removed node {node} from fleet {fleet}: no node believes it any more"),
        }];
        lines.extend(removed.renewals.iter().map(renewal));
        if removed.rolls_account {
            lines.push("the account key is rolled over, since it could read that; `certfleet account show` says how far it is".into());
        }
        if removed.change == Change::Made {
            lines.extend(self.left_to_do(machine));
        }
        lines
    }

    fn left_to_do(&self, machine: &Machine) -> Vec<String> {
        let node = &self.node;
        let mut lines = match self.compromised {
            true => vec![
                "all this is done by nodes with the role issue, when they run; the old certificates are not revoked".to_owned(),
                format!("if the fleet key was on {node}, whoever has it still decides who is in: make a new fleet"),
            ],
            false => vec![format!(
                "keys that it has stay in use until they are renewed; if somebody else may have it: `certfleet node remove {node} --compromised`"
            )],
        };
        lines.push(format!("to do: take away its access to the store ({})", machine.settings.store));
        lines.push(self.wiping(machine));
        lines
    }

    fn wiping(&self, machine: &Machine) -> String {
        let node = &self.node;
        let settings = config::load(&machine.config).and_then(|configuration| configuration.for_node(node));
        let state = settings.map_or_else(|_| "its state directory".to_owned(), |settings| settings.state.display().to_string());
        format!(
            "to do, to wipe it: stop certfleet on {node}, then delete {state} there, and what its targets wrote: `certfleet check --node {node} --print`"
        )
    }
}

fn renewal(renewal: &Renewal) -> String {
    let cert = &renewal.cert;
    let put_off = |stamp: &Timestamp| format!("not before {}, since failed attempts or the CA's limits put it off", spans::moment(*stamp));
    let when = match (renewal.running, &renewal.not_before) {
        (RunningAttempt::None, None) => "at once".to_owned(),
        (RunningAttempt::None, Some(stamp)) => put_off(stamp),
        (RunningAttempt::WithOldKey, None) => "as soon as the attempt that runs has ended".to_owned(),
        (RunningAttempt::WithOldKey, Some(stamp)) => format!("as soon as the attempt that runs has ended; that goes on {}", put_off(stamp)),
        (RunningAttempt::WithNewKey, None) => "by the attempt that runs".to_owned(),
        (RunningAttempt::WithNewKey, Some(stamp)) => format!("by the attempt that runs; that goes on {}", put_off(stamp)),
    };
    format!("{cert} is issued anew with a fresh key: {when}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(running: RunningAttempt, not_before: Option<&str>) -> String {
        let not_before = not_before.map(|stamp| stamp.parse().expect("a time stamp"));
        renewal(&Renewal { cert: "example.com".parse().expect("a name"), not_before, running })
    }

    #[test]
    fn each_renewal_says_when() {
        let stamp = Some("2026-03-01T12:00:00.5Z");
        let cases = [
            (RunningAttempt::None, None, "fresh key: at once"),
            (RunningAttempt::None, stamp, "fresh key: not before 2026-03-01T12:00:00Z, since"),
            (RunningAttempt::WithOldKey, None, "as soon as the attempt that runs has ended"),
            (RunningAttempt::WithOldKey, stamp, "has ended; that goes on not before 2026-03-01T12:00:00Z"),
            (RunningAttempt::WithNewKey, None, "by the attempt that runs"),
            (RunningAttempt::WithNewKey, stamp, "by the attempt that runs; that goes on not before 2026-03-01T12:00:00Z"),
        ];
        for (running, not_before, words) in cases {
            let line = said(running, not_before);
            assert!(line.starts_with("example.com is issued anew") && line.contains(words), "{line}");
        }
    }
}
