//! `status` for people.

use certfleet_node::records::TargetState;
use certfleet_node::status::{CertificateStatus, NodeStatus, PlacedStatus, Status, TargetStatus};
use certfleet_node::time::Timestamp;

use super::Columns;
use crate::out::printable;
use crate::spans;

/// How much of a configuration's hash is shown, in characters.
const HASH_CHARS: usize = 8;
const NONE: &str = "-";

/// The whole document, within `width` columns if there is a limit.
pub fn status(status: &Status, width: Option<u16>) -> String {
    let fleet = &status.fleet;
    let mut text = format!(
        "fleet {} ({}), store {}, as seen by {} at {}\n\n",
        fleet.name,
        fleet.id,
        fleet.store,
        status.node,
        spans::moment(status.at)
    );
    text.push_str(&nodes(&fleet.nodes, status.at, width));
    text.push('\n');
    text.push_str(&certificates(status, width));
    let remarks = remarks(status);
    if !remarks.is_empty() {
        text.push('\n');
        remarks.iter().for_each(|remark| text.extend([printable(remark).as_str(), "\n"]));
    }
    text
}

fn nodes(nodes: &[NodeStatus], now: Timestamp, width: Option<u16>) -> String {
    let mut columns = Columns::new(["NODE", "STATE", "ROLES", "VERSION", "CONFIG", "SEEN"]);
    for node in nodes {
        let roles: Vec<String> = node.roles.iter().map(ToString::to_string).collect();
        columns.row([
            node.name.to_string(),
            if node.live { "live" } else { "not live" }.to_owned(),
            roles.join(","),
            or_none(node.version.clone()),
            or_none(node.config.as_ref().map(|hash| hash.to_string().chars().take(HASH_CHARS).collect())),
            node.seen_at.map_or_else(|| "never".to_owned(), |at| spans::ago(now, at)),
        ]);
    }
    columns.print(width)
}

fn certificates(status: &Status, width: Option<u16>) -> String {
    if status.certificates.is_empty() && !status.hidden.is_empty() {
        return format!("no certificates are placed on {}\n", status.node);
    }
    if status.certificates.is_empty() {
        return "no certificates: the configuration names none\n".to_owned();
    }
    let mut columns = Columns::new(["CERTIFICATE", "STATE", "GENERATION", "EXPIRES IN", "RENEWS IN", "NODE", "TARGET", "SERVED"]);
    for certificate in &status.certificates {
        let mut own = own_cells(certificate, status.at);
        for [node, target, served] in placed_cells(certificate) {
            let [name, state, generation, expires, renews] = std::mem::take(&mut own);
            columns.row([name, state, generation, expires, renews, node, target, served]);
        }
    }
    columns.print(width)
}

fn own_cells(certificate: &CertificateStatus, now: Timestamp) -> [String; 5] {
    let not_after = certificate.nodes.iter().filter_map(|node| node.not_after).min();
    let state = match &certificate.attempt {
        Some(attempt) => format!("{} ({})", certificate.state.as_str(), attempt.step),
        None => certificate.state.as_str().to_owned(),
    };
    [
        certificate.name.to_string(),
        state,
        or_none(certificate.generation.map(|generation| generation.to_string())),
        or_none(not_after.map(|at| spans::ahead(now, at))),
        or_none(certificate.renew_at.map(|at| spans::ahead(now, at))),
    ]
}

/// A row for each target; at least one.
fn placed_cells(certificate: &CertificateStatus) -> Vec<[String; 3]> {
    let none = || NONE.to_owned();
    let of_node = |node: &PlacedStatus| -> Vec<[String; 3]> {
        let rows = node.targets.iter().enumerate();
        let rows: Vec<_> = rows
            .map(|(n, target)| {
                [if n == 0 { node.node.to_string() } else { String::new() }, target.target.to_string(), served(certificate, target)]
            })
            .collect();
        if rows.is_empty() { vec![[node.node.to_string(), none(), none()]] } else { rows }
    };
    let rows: Vec<_> = certificate.nodes.iter().flat_map(of_node).collect();
    if rows.is_empty() { vec![[none(), none(), none()]] } else { rows }
}

fn served(certificate: &CertificateStatus, target: &TargetStatus) -> String {
    let mut text = state(target.state).to_owned();
    if let Some(reason) = &target.reason {
        text = format!("{text}: {reason}");
    }
    match target.generation.filter(|generation| Some(*generation) != certificate.generation) {
        Some(old) => format!("{text} (has {old})"),
        None => text,
    }
}

/// As in JSON.
pub fn state(state: TargetState) -> &'static str {
    match state {
        TargetState::Pending => "pending",
        TargetState::Installed => "installed",
        TargetState::Verified => "verified",
        TargetState::Failed => "failed",
    }
}

/// What does not fit into a cell: why something is not as it should be.
fn remarks(status: &Status) -> Vec<String> {
    let mut remarks: Vec<String> = status.certificates.iter().flat_map(|certificate| about(certificate, status.at)).collect();
    for node in &status.fleet.nodes {
        remarks.extend(node.troubles.iter().map(|trouble| format!("{}: {trouble}", node.name)));
    }
    if !status.hidden.is_empty() {
        let names: Vec<&str> = status.hidden.iter().map(|cert| cert.as_str()).collect();
        remarks.push(format!("not shown to {}, whose roles do not need them: {}", status.node, names.join(", ")));
    }
    remarks.extend(status.troubles.iter().map(|trouble| format!("trouble: {trouble}")));
    remarks
}

fn about(certificate: &CertificateStatus, now: Timestamp) -> Vec<String> {
    let name = &certificate.name;
    let holder = certificate.attempt.as_ref().and_then(|attempt| attempt.holder.as_ref());
    let driven = holder.map(|holder| format!("{name}: driven by {holder}"));
    let error = certificate.last_error.as_ref().map(|error| format!("{name}: {error}"));
    let next = certificate.next_try_at.map(|at| format!("{name}: next try in {}", spans::ahead(now, at)));
    let waiting = certificate.waiting.as_ref().map(|why| format!("{name}: {why}"));
    [driven, error, next, waiting].into_iter().flatten().collect()
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}
