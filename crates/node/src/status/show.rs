//! From the view to the document.

use certfleet_core::decide::{Gate, Plan, renewal_moment, rollout_gate};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, NodeName, TargetName};
use certfleet_core::records::{CertRecord, Placed, PresenceState, TargetState};
use certfleet_core::time::{Now, Timestamp};
use certfleet_core::view::{LIVE_SECONDS, View};

use super::{AttemptStatus, CertificateState, CertificateStatus, FleetStatus, NodeStatus, PlacedStatus, SCHEMA, Status, TargetStatus};

/// What the view shows. `plan` is the latest plan made from it.
pub fn status(view: &View, plan: &Plan, store: &str, now: Now) -> Status {
    let mut troubles: Vec<String> = plan.troubles.iter().cloned().collect();
    troubles.extend(strays(view, plan));
    let mut names: Vec<&CertName> = view.certs.keys().chain(view.wanted.keys()).collect();
    names.sort();
    names.dedup();
    let is_hidden = |cert: &&CertName| !view.certs.contains_key(*cert) && view.is_withheld(&RecordKey::Cert((*cert).clone()));
    let (hidden, names): (Vec<&CertName>, Vec<&CertName>) = names.into_iter().partition(is_hidden);
    Status {
        schema: SCHEMA,
        node: view.me.node.clone(),
        at: now.wall,
        fleet: fleet(view, store, now),
        certificates: names.into_iter().filter_map(|cert| certificate(view, plan, cert, now)).collect(),
        hidden: hidden.into_iter().cloned().collect(),
        troubles,
    }
}

/// Values that do not count, unless the plan tells of them already.
fn strays<'a>(view: &'a View, plan: &'a Plan) -> impl Iterator<Item = String> + 'a {
    let told = |key: &certfleet_core::key::Key| plan.troubles.iter().any(|trouble| trouble.starts_with(&format!("{key} ")));
    let untold = view.strays.iter().filter(move |(key, _)| !told(key));
    untold.map(|(key, stray)| format!("{key} in the store does not count: {}", stray.why))
}

fn fleet(view: &View, store: &str, now: Now) -> FleetStatus {
    FleetStatus {
        id: view.fleet.as_ref().map_or_else(|| view.me.fleet.clone(), |fleet| fleet.id.clone()),
        name: view.fleet.as_ref().map(|fleet| fleet.name.clone()).unwrap_or_default(),
        store: store.to_owned(),
        epoch: view.fleet.as_ref().map_or(0, |fleet| fleet.epoch),
        nodes: view.roster.members.keys().map(|name| node(view, name, now)).collect(),
    }
}

fn node(view: &View, name: &NodeName, now: Now) -> NodeStatus {
    let presence = view.presence.get(name).map(|seen| &seen.value);
    let granted = view.nodes.get(name).map(|record| record.granted.clone()).unwrap_or_default();
    NodeStatus {
        name: name.clone(),
        roles: presence.map_or(granted, |presence| presence.roles.clone()),
        live: is_live(view, name, now),
        version: presence.map(|presence| presence.version.clone()),
        config: presence.map(|presence| presence.config.clone()),
        seen_at: presence.map(|presence| presence.at),
        troubles: presence.map(|presence| presence.troubles.clone()).unwrap_or_default(),
    }
}

/// A command is no life of its node: what another life presents is what counts.
fn is_live(view: &View, name: &NodeName, now: Now) -> bool {
    match view.presence.get(name) {
        Some(seen) if *name == view.me.node && seen.value.incarnation != view.me.incarnation => {
            let silent = now.mono.since(seen.changed_at).as_secs();
            seen.value.state == PresenceState::Live && silent < LIVE_SECONDS
        }
        None if *name == view.me.node => view.local.beaten_at.is_some(),
        _ => view.is_live(name, now.mono),
    }
}

fn certificate(view: &View, plan: &Plan, cert: &CertName, now: Now) -> Option<CertificateStatus> {
    let record = view.certs.get(cert).map(|seen| &seen.value);
    let spec = record.map(|record| &record.spec).or_else(|| view.wanted.get(cert))?;
    let placed = record.and_then(|record| record.placed.as_ref());
    let attempt = record.and_then(|record| record.attempt.as_ref());
    Some(CertificateStatus {
        name: cert.clone(),
        names: spec.names.clone(),
        issuer: placed.map_or_else(|| spec.issuers.first().cloned(), |placed| Some(placed.issuer.clone()))?,
        state: record.map_or(CertificateState::Pending, |record| state(view, cert, record, now)),
        generation: placed.map(|placed| placed.placement.generation),
        renew_at: record.and_then(|record| renew_at(cert, record)),
        attempt: attempt.map(|attempt| AttemptStatus {
            number: attempt.number,
            step: attempt.step.name().into(),
            holder: attempt.holder.as_ref().map(|holder| holder.node.clone()),
            order: attempt.step.order().map(str::to_owned),
            started_at: attempt.started_at,
        }),
        last_error: record.and_then(last_error),
        next_try_at: record.and_then(|record| next_try(record, now)),
        waiting: plan.waits.get(cert).cloned(),
        nodes: view.placed_nodes(cert).map(|node| placed_on(view, cert, placed, node)).collect(),
    })
}

fn renew_at(cert: &CertName, record: &CertRecord) -> Option<Timestamp> {
    let moment = renewal_moment(cert, record.placed.as_ref()?);
    Some(record.renew_requested_at.map_or(moment, |requested| requested.min(moment)))
}

fn state(view: &View, cert: &CertName, record: &CertRecord, now: Now) -> CertificateState {
    let placed = record.placed.as_ref();
    match placed {
        _ if record.retired => CertificateState::Retired,
        Some(placed) if placed.not_after <= now.wall => CertificateState::Expired,
        _ if paused(record) => CertificateState::Paused,
        _ if record.attempt.is_some() => CertificateState::Issuing,
        _ if matches!(rollout_gate(view, cert, now), Gate::Halted(..)) => CertificateState::Halted,
        Some(_) if record.failures.count > 0 => CertificateState::Failing,
        Some(_) => CertificateState::Valid,
        None => CertificateState::Pending,
    }
}

/// Let's Encrypt pauses a name that keeps failing; its error says so and carries the URL to end it.
fn paused(record: &CertRecord) -> bool {
    let problems = record.failures.problem.iter().chain(record.attempt.iter().filter_map(|attempt| attempt.problem.as_ref()));
    let mut paused = problems.filter(|problem| problem.kind == "rateLimited" && problem.detail.contains("paused"));
    paused.next().is_some()
}

fn last_error(record: &CertRecord) -> Option<String> {
    let running = record.attempt.as_ref().and_then(|attempt| attempt.problem.as_ref());
    running.or(record.failures.problem.as_ref()).map(ToString::to_string)
}

fn next_try(record: &CertRecord, now: Now) -> Option<Timestamp> {
    let attempt = record.attempt.as_ref().and_then(|attempt| attempt.not_before);
    attempt.or(record.failures.not_before).filter(|stamp| *stamp > now.wall)
}

fn placed_on(view: &View, cert: &CertName, placed: Option<&Placed>, node: &NodeName) -> PlacedStatus {
    let spec = view.specification(cert);
    let deploy = spec.map(|spec| spec.deploy.as_slice()).unwrap_or_default();
    let mine = deploy.iter().filter(|target| view.spec.targets.get(*target).is_some_and(|t| t.is_on(node)));
    let targets: Vec<TargetStatus> = mine.map(|name| target(view, cert, placed, node, name)).collect();
    let generation = targets.iter().filter(|target| target.state != TargetState::Failed).filter_map(|target| target.generation).min();
    let has = placed.filter(|placed| generation == Some(placed.placement.generation));
    PlacedStatus {
        node: node.clone(),
        generation,
        serial: has.map(|placed| placed.serial.clone()),
        fingerprint: has.map(|placed| format!("sha256:{}", placed.fingerprint)),
        not_before: has.map(|placed| placed.not_before),
        not_after: has.map(|placed| placed.not_after),
        targets,
    }
}

fn target(view: &View, cert: &CertName, placed: Option<&Placed>, node: &NodeName, name: &TargetName) -> TargetStatus {
    let report = view.reports.get(cert).and_then(|reports| reports.get(&(node.clone(), name.clone()))).map(|seen| &seen.value);
    let current = report.filter(|report| placed.is_some_and(|placed| placed.placement.seq == report.seq));
    TargetStatus {
        target: name.clone(),
        generation: report.map(|report| report.generation),
        state: current.map_or(TargetState::Pending, |report| report.state),
        reason: current.and_then(|report| report.reason.clone()),
        at: report.map(|report| report.at),
    }
}
