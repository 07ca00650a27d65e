//! `/metrics`: what is counted as it happens, and what is read from the view when asked.

use std::time::Duration;

use certfleet_core::decide::Event;
use certfleet_core::names::{IssuerName, TargetName};
use certfleet_core::records::TargetState;
use certfleet_core::time::Now;
use certfleet_core::view::View;
use certfleet_edge::{Answered, EdgeEvents};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the store latency buckets, in seconds.
const STORE_SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultOf {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallOf {
    issuer: String,
    call: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetOf {
    target: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertOf {
    cert: String,
    node: String,
}

/// What is counted as it happens.
#[derive(Debug)]
pub struct Metrics {
    store: Family<Operation, Histogram>,
    attempts: Family<ResultOf, Counter>,
    ca_calls: Family<CallOf, Counter>,
    challenges: Family<ResultOf, Counter>,
    installs: Family<TargetOf, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            store: Family::new_with_constructor(|| Histogram::new(STORE_SECONDS)),
            attempts: Family::default(),
            ca_calls: Family::default(),
            challenges: Family::default(),
            installs: Family::default(),
        }
    }
}

impl Metrics {
    /// A call of the store took so long.
    pub fn store_call(&self, operation: &'static str, took: Duration) {
        self.store.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// A certificate's record changed; ends of attempts are counted.
    pub fn attempt(&self, event: Event) {
        if matches!(event, Event::Placed | Event::Failed | Event::NotOurs | Event::SetAside | Event::TakenOver) {
            self.attempts.get_or_create(&ResultOf { result: event.name() }).inc();
        }
    }

    /// A CA answered, or not.
    pub fn ca_call(&self, issuer: &IssuerName, call: &'static str, ok: bool) {
        let result = if ok { "ok" } else { "error" };
        self.ca_calls.get_or_create(&CallOf { issuer: issuer.to_string(), call, result }).inc();
    }

    /// A target was converged.
    pub fn installed(&self, target: &TargetName, state: TargetState) {
        self.installs.get_or_create(&TargetOf { target: target.to_string(), state: state_name(state) }).inc();
    }

    /// The whole page.
    pub fn render(&self, view: &View, now: Now) -> String {
        let mut registry = Registry::with_prefix("certfleet");
        registry.register_with_unit("store_operation_duration", "Time that store operations took", Unit::Seconds, self.store.clone());
        registry.register("attempts", "Attempts by how they went on", self.attempts.clone());
        registry.register("ca_calls", "Calls of CAs", self.ca_calls.clone());
        registry.register("challenge_requests", "Requests on the challenge listeners by how they ended", self.challenges.clone());
        registry.register("installs", "Targets converged, by state reached", self.installs.clone());
        from_view(&mut registry, view, now);
        let mut page = String::new();
        if encode(&mut page, &registry).is_err() {
            page.clear();
        }
        page
    }
}

fn state_name(state: TargetState) -> &'static str {
    match state {
        TargetState::Pending => "pending",
        TargetState::Installed => "installed",
        TargetState::Verified => "verified",
        TargetState::Failed => "failed",
    }
}

fn from_view(registry: &mut Registry, view: &View, now: Now) {
    let expiry = Family::<CertOf, Gauge>::default();
    let verified = Family::<CertOf, Gauge>::default();
    for (cert, seen) in &view.certs {
        let Some(placed) = &seen.value.placed else { continue };
        for (node, target) in view.reports.get(cert).into_iter().flat_map(|reports| reports.keys()) {
            let Some(report) = view.reports.get(cert).and_then(|reports| reports.get(&(node.clone(), target.clone()))) else { continue };
            let labels = CertOf { cert: cert.to_string(), node: node.to_string() };
            let current = report.value.seq == placed.placement.seq && report.value.state != TargetState::Failed;
            if current {
                expiry.get_or_create(&labels).set(placed.not_after.as_second());
            }
            let seen_served = current && report.value.state == TargetState::Verified;
            verified.get_or_create(&labels).set(i64::from(seen_served));
        }
    }
    let live = Gauge::<i64>::default();
    live.set(view.nodes.keys().filter(|node| view.is_live(node, now.mono)).count() as i64);
    let ready = Gauge::<i64>::default();
    ready.set(i64::from(view.membership().is_ok()));
    registry.register("certificate_expiry_timestamp_seconds", "End of validity of what a node has installed, Unix time", expiry);
    registry.register("certificate_verified", "1 where a node was seen serving the placed generation", verified);
    registry.register("nodes_live", "Members seen beating lately", live);
    registry.register("store_ready", "1 while the store can be used", ready);
}

impl EdgeEvents for Metrics {
    fn answered(&self, host: &str, outcome: Answered) {
        self.challenges.get_or_create(&ResultOf { result: outcome.as_str() }).inc();
        if matches!(outcome, Answered::Challenge | Answered::NoAnswer) {
            tracing::debug!(event = "challenge-request", host, result = outcome.as_str());
        }
    }
}
