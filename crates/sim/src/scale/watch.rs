//! What the run must keep, checked as it goes and in the end; and what follows from a certificate that is placed.

use std::collections::BTreeSet;
use std::time::Duration;

use certfleet_core::decide::{Event, renewal_moment};
use certfleet_core::key::RecordKey;
use certfleet_core::names::CertName;
use certfleet_core::records::{CertRecord, Placed, Report, TargetState};
use certfleet_core::time::until;
use certfleet_core::view::Blob;

use super::actor::Actor;
use super::figures::{Cost, Figures};
use super::fleet::{at, revision};
use super::store::{Kind, SEEN, WRITE};
use super::world::{Happening, INSTALL, World, since};

/// A renewal that was due this long before the end and did not happen is missing.
const MISSING_AFTER: Duration = Duration::from_secs(3600);

impl World {
    /// What a write of a record must keep, and what follows from it.
    pub(super) fn watch(&mut self, n: usize, cert: &CertName, record: &CertRecord, event: Event, now: Duration) {
        let before = self.actors[..self.fleet.scale.issuers].iter().filter_map(|actor| actor.view.certs.get(cert));
        let before = before.max_by_key(|seen| seen.revision.change).and_then(|seen| seen.value.placed.clone());
        let due = before.as_ref().map(|placed| renewal_moment(cert, placed));
        match (event, &record.placed) {
            (Event::Keyed, _) => {
                let is_due = due.is_none_or(|due| due <= at(now).wall);
                self.figures.must(is_due, "an attempt began before its time", || format!("{cert} at {now:?}"));
            }
            (Event::Placed, Some(placed)) => {
                let lag = due.map_or(now, |due| until(due, at(now).wall));
                self.figures.lag = (self.figures.lag.0.max(lag), self.figures.lag.1 + lag);
                self.figures.attempt = Some(self.figures.attempt.map_or(lag, |least| least.min(lag)));
                self.placed((n, cert), before.as_ref(), placed, now);
            }
            _ => {}
        }
        self.figures.waiting_max =
            self.figures.waiting_max.max(self.actors[..self.fleet.scale.issuers].iter().map(Actor::waiting).max().unwrap_or(0));
    }

    fn placed(&mut self, (n, cert): (usize, &CertName), before: Option<&Placed>, placed: &Placed, now: Duration) {
        self.figures.placed.add(now, 1);
        self.due(since(renewal_moment(cert, placed)));
        self.served_until[n] = before.map(|before| before.not_after);
        if let Some(before) = before {
            let left = until(at(now).wall, before.not_after);
            self.figures.least_left.0 = self.figures.least_left.0.map_or(Some(left), |least| Some(least.min(left)));
            self.figures.must(!left.is_zero(), "a certificate expired before the next was placed", || cert.to_string());
            let key = RecordKey::PrivateKey(before.key.clone()).key();
            self.store.rubbish.insert(key.clone(), Blob { key, revision: revision(1), needs: None });
        }
        for node in self.fleet.placed_on(n).filter(|node| !self.acting.contains_key(node)) {
            let report = self.fleet.report(&placed.placement, now + SEEN + INSTALL);
            self.queue.put(now + SEEN + INSTALL + WRITE, Happening::Reported(node, n, report));
        }
    }

    /// Something is due then, if the run lasts so long.
    pub(super) fn due(&mut self, moment: Duration) {
        if moment < self.fleet.life() {
            self.figures.due.add(moment, 1);
        }
    }

    pub(super) fn reported(&mut self, node: usize, cert: usize, report: &Report, now: Duration, deciding: &mut BTreeSet<usize>) {
        self.store.count(Kind::Report, now);
        if let Some(until_then) = self.served_until[cert] {
            let left = until(at(now).wall, until_then);
            self.figures.least_left.1 = self.figures.least_left.1.map_or(Some(left), |least| Some(least.min(left)));
            let holds = !left.is_zero() && report.state == TargetState::Verified;
            self.figures
                .must(holds, "a node served what had expired", || format!("{} of {}", self.fleet.cert(cert), self.fleet.node(node)));
        }
        for actor in self.others_with(cert, usize::MAX) {
            self.actors[actor].take_report(&self.fleet, cert, node, report.clone(), now);
            deciding.insert(actor);
        }
    }

    /// What must hold in the end.
    pub(super) fn end(mut self, end: Duration) -> Figures {
        let wall = at(end).wall;
        for n in 0..self.fleet.scale.certificates {
            let cert = self.fleet.cert(n);
            let placed = self.actors[0].view.certs.get(&cert).and_then(|seen| seen.value.placed.as_ref());
            let Some(placed) = placed else {
                self.figures.must(self.fleet.scale.new, "a certificate is gone", || cert.to_string());
                continue;
            };
            let is_renewed = renewal_moment(&cert, placed) > at(end - MISSING_AFTER).wall;
            let reports = self.actors[0].view.reports.get(&cert).into_iter().flat_map(|reports| reports.values());
            let having = reports.filter(|seen| seen.value.generation == placed.placement.generation).count();
            let all_have = having == self.fleet.placed_on(n).len() || now_placed(placed, end);
            let (is_valid, number) = (placed.not_after > wall, placed.placement.generation);
            self.figures.must(is_valid, "a certificate has expired", || cert.to_string());
            self.figures.must(is_renewed, "a renewal is missing", || format!("{cert} {number}"));
            self.figures.must(all_have, "a node does not have what is placed", || cert.to_string());
        }
        self.store.count_idle_beats(self.fleet.scale.nodes - self.actors.len(), end);
        self.figures.conflicts = self.store.conflicts;
        self.figures.refused = std::mem::take(&mut self.ca.refused);
        self.figures.requests = (self.ca.requests, self.ca.busiest_second);
        self.actors[0].measure_beats(end);
        let (issuing, deploying) = self.actors.split_at(self.fleet.scale.issuers);
        self.figures.issuing = issuing.iter().fold(Cost::default(), |sum, actor| sum.and(&actor.cost));
        self.figures.deploying = deploying.iter().fold(Cost::default(), |sum, actor| sum.and(&actor.cost));
        self.figures.writes = self.store.into_writes();
        self.figures
    }
}

/// Placed so late that the nodes may still be at it.
fn now_placed(placed: &Placed, end: Duration) -> bool {
    until(placed.not_before, at(end).wall) < MISSING_AFTER
}
