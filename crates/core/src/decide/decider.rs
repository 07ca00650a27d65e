//! Deciding at the cost of what changed: what was decided before stands, certificate by certificate, until there is a reason to look again.
//!
//! Always holds: what a [`Decider`] decides is what [`super::decide`] decides by the same view, since that is a `Decider` for which everything
//! is new; both go through [`certificate`] and [`fleet`]. A certificate is looked at again when something of its own was touched (the view
//! notes that), when a moment that its part named has come, when it was acted on, or when what it is tied to is another; all are when what
//! lasts is another, or the wall clock went back.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Subject};
use super::claim::ATTEMPTS_AT_ONCE_MAX;
use super::facts::{Facts, Lacked};
use super::part::{Part, moment_of};
use super::plan::Plan;
use super::standing::Standing;
use super::turn::Turn;
use super::{accounts, admit, collect, deploy, guard, issuance, presence, request, troubles, turn, upkeep, wrap};
use crate::key::Key;
use crate::names::{CertName, NodeName, TargetName};
use crate::records::Placed;
use crate::time::{Mono, Now, Timestamp};
use crate::view::{Changes, Touched, View};

/// What a node has decided so far.
#[derive(Debug, Default)]
pub struct Decider {
    standing: Standing,
    facts: Option<Facts>,
    wall: Option<Timestamp>,
    /// Those that were acted on: what was begun is seen in the view by now, and what was not is decided once more.
    acted: BTreeSet<CertName>,
    /// What of the moments since when work is due is another.
    due: BTreeMap<Subject, Option<Mono>>,
    looked_at: u64,
}

/// The actions of certificates, with the certificate for whose sake each is.
type Wanted = Vec<(CertName, Subject, Action)>;

impl Decider {
    /// What this node does now, begun in the view. What waits, why, and until when is in [`Self::plan`].
    pub fn decide(&mut self, view: &mut View, now: Now, seed: u64) -> Vec<(Subject, Action)> {
        let changes = view.take_changes();
        let certs = self.look_at(view, changes, now, seed);
        let actions = self.settle(view, certs, now, seed);
        for (subject, since) in std::mem::take(&mut self.due) {
            match since {
                Some(since) => drop(view.local.due_since.insert(subject, since)),
                None => drop(view.local.due_since.remove(&subject)),
            }
        }
        view.start(&actions);
        actions
    }

    /// The same, after it was compared with what is decided by the view as a whole.
    ///
    /// # Panics
    /// If they differ: something changed that nobody noted.
    pub fn decide_checked(&mut self, view: &mut View, now: Now, seed: u64) -> Vec<(Subject, Action)> {
        let whole = super::decide(view, now, seed);
        let actions = self.decide(view, now, seed);
        let kept = Plan { actions: actions.clone(), ..self.plan().clone() };
        assert!(kept == whole, "{}", differences(&kept, &whole));
        actions
    }

    /// The plan as a whole, without its actions.
    pub fn plan(&self) -> &Plan {
        &self.standing.plan
    }

    /// How often certificates have been looked at so far: what decisions cost, as a count.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Decides everything.
    pub(super) fn all(mut self, view: &View, now: Now, seed: u64) -> Plan {
        self.facts = Some(Facts::of(view, now, seed));
        let actions = self.settle(view, view.all_certs(), now, seed);
        Plan { actions, ..self.standing.plan }
    }

    /// The certificates that there is a reason to look at.
    fn look_at(&mut self, view: &View, changes: Changes, now: Now, seed: u64) -> BTreeSet<CertName> {
        let went_back = self.wall.replace(now.wall).is_some_and(|before| now.wall < before);
        let facts = self.facts.take().filter(|facts| !changes.everything && !went_back && facts.lasting.is_of(view, seed));
        let Some(mut facts) = facts else {
            self.facts = Some(Facts::of(view, now, seed));
            return view.all_certs().into_iter().chain(self.standing.all().cloned()).collect();
        };
        let mut certs = changes.certs;
        certs.extend(std::mem::take(&mut self.acted));
        certs.extend(self.standing.come(now).cloned());
        if facts.passing.follow(view, now, &changes.presences) {
            certs.extend(self.standing.passing().cloned());
        }
        self.look_at_presences(view, &changes.presences, &mut facts, &mut certs);
        self.facts = Some(facts);
        certs
    }

    fn look_at_presences(&self, view: &View, touched: &Touched<NodeName>, facts: &mut Facts, certs: &mut BTreeSet<CertName>) {
        match touched {
            Touched::Some(nodes) if nodes.is_empty() => return,
            Touched::Some(nodes) => certs.extend(nodes.iter().flat_map(|node| self.standing.watching(node)).cloned()),
            Touched::All => certs.extend(self.standing.watching_any().cloned()),
        }
        certs.extend(self.standing.lacking().cloned());
        if !facts.lacked.is_touched(view, touched) {
            return;
        }
        let lacked = Lacked::of(view);
        let others = lacked.keys.symmetric_difference(&facts.lacked.keys);
        certs.extend(others.flat_map(|key| view.certs.with_key(key)).map(|(cert, _)| cert.clone()));
        facts.lacked = lacked;
    }

    /// Decides these certificates and what is no certificate's, and puts the plan together.
    fn settle(&mut self, view: &View, certs: BTreeSet<CertName>, now: Now, seed: u64) -> Vec<(Subject, Action)> {
        let Some(facts) = self.facts.take() else { return Vec::new() };
        let (mut wanted, mut claims) = (Wanted::new(), BTreeMap::new());
        self.looked_at += certs.len() as u64;
        for cert in certs {
            let part = certificate(Turn { view, now, seed, cert: &cert, facts: &facts });
            self.standing.replace(&cert, &part, &mut self.due);
            wanted.extend(part.actions.into_iter().map(|(subject, action)| (cert.clone(), subject, action)));
            claims.extend(part.claim.map(|(_, action)| (cert, action)));
        }
        self.choose(
            &mut wanted,
            claims,
            |cert| certificate(Turn { view, now, seed, cert, facts: &facts }).claim.map(|(_, action)| action),
            view,
        );
        let mut rest = self.fleet(view, now, &facts);
        self.install(view, now, &mut rest);
        self.standing.plan.wake_at = self.wake_at(now, &rest);
        self.facts = Some(facts);
        self.acted = wanted.iter().map(|(cert, ..)| cert.clone()).collect();
        put_together(wanted, rest)
    }

    /// Of what waits for this node to drive fewer attempts, the most urgent is begun.
    fn choose(
        &mut self,
        wanted: &mut Wanted,
        mut fresh: BTreeMap<CertName, Action>,
        anew: impl Fn(&CertName) -> Option<Action>,
        view: &View,
    ) {
        let free = ATTEMPTS_AT_ONCE_MAX.saturating_sub(view.driven());
        let chosen: Vec<CertName> = self.standing.claims.iter().take(free).map(|(_, cert)| cert.clone()).collect();
        for cert in chosen {
            self.standing.chosen(&cert);
            if let Some(action) = fresh.remove(&cert).or_else(|| anew(&cert)) {
                wanted.push((cert, action.subject(), action));
            }
        }
    }

    fn fleet(&mut self, view: &View, now: Now, facts: &Facts) -> Part {
        let mut part = Part::default();
        fleet(view, now, facts, &mut part);
        self.standing.replace_fleet(&part, &mut self.due);
        if facts.lasting.is_member {
            presence::decide(view, now, &self.standing.plan.troubles, &mut part);
        }
        part
    }

    /// What a target is to have is installed in one go.
    fn install(&self, view: &View, now: Now, part: &mut Part) {
        for (target, certs) in self.standing.installs.iter().filter(|(_, certs)| !certs.is_empty()) {
            if part.is_free(view, now, &Subject::Target(target.clone())) {
                let placed = |cert: &CertName| Some((cert.clone(), view.certs.get(cert)?.value.placed.clone()?));
                let batch: Vec<(CertName, Placed)> = certs.iter().filter_map(placed).collect();
                part.actions.push((Subject::Target(target.clone()), install(target, batch)));
            }
        }
    }

    fn wake_at(&self, now: Now, rest: &Part) -> Option<Mono> {
        let (moment, stamp) = self.standing.first();
        let stamp = stamp.into_iter().chain(rest.stamp).min().map(|stamp| moment_of(now, stamp));
        moment.into_iter().chain(rest.wake).chain(stamp).min()
    }
}

fn install(target: &TargetName, batch: Vec<(CertName, Placed)>) -> Action {
    Action::Install(target.clone(), batch)
}

/// All that is decided about one certificate.
fn certificate(turn: Turn<'_>) -> Part {
    let mut part = Part::default();
    upkeep::decide(turn, &mut part);
    troubles::certificate(turn, &mut part);
    if turn.facts.lasting.is_member {
        guard::certificate(turn, &mut part);
        deploy::decide(turn, &mut part);
        request::decide(turn, &mut part);
        issuance::decide(turn, &mut part);
    }
    part
}

/// All that is no certificate's, but the presence, which tells of the rest.
fn fleet(view: &View, now: Now, facts: &Facts, part: &mut Part) {
    troubles::decide(view, now, part);
    if facts.lasting.is_member {
        guard::decide(view, now, part);
        admit::decide(view, now, part);
        wrap::decide(view, now, facts, part);
        turn::keep_clocks(view, now, part);
        accounts::decide(view, now, facts, part);
        collect::decide(view, now, facts, part);
    }
}

/// In the order of the rooms, and within one by certificate. Several may want the same of a CA.
fn put_together(mut wanted: Wanted, rest: Part) -> Vec<(Subject, Action)> {
    wanted.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut actions: Vec<(Subject, Action)> =
        wanted.into_iter().map(|(_, subject, action)| (subject, action)).chain(rest.actions).collect();
    actions.sort_by(|(a, _), (b, _)| room(a).cmp(&room(b)));
    let mut seen = BTreeSet::new();
    actions.retain(|(subject, _)| seen.insert(subject.clone()));
    actions
}

/// The room, and of records the key.
fn room(subject: &Subject) -> (u8, Option<&Key>) {
    let room = match subject {
        Subject::StandIn(..) => 0,
        // The use of a token, which is counted before a machine is let in.
        Subject::Record(key) if key.is_under("invitations") => 2,
        Subject::Record(key) => return (1, Some(key)),
        Subject::Joining(_) => 2,
        Subject::Report(..) => 3,
        Subject::Target(_) => 4,
        Subject::Request(_) => 5,
        Subject::Wrap(..) => 6,
        Subject::Clock(_) | Subject::Cert(_) | Subject::Aside(..) => 7,
        Subject::Account(_) | Subject::AccountKey => 8,
        Subject::Rubbish => 9,
        Subject::Presence => 10,
    };
    (room, None)
}

fn differences(kept: &Plan, whole: &Plan) -> String {
    let mut text = String::from("what was decided before does not stand any more, and nobody noted why:");
    let mut tell = |what: &str, kept: String, whole: String| {
        if kept != whole {
            text.push_str(&format!("\n{what}\n  stands: {kept}\n  anew:   {whole}"));
        }
    };
    tell("actions", format!("{:?}", kept.actions), format!("{:?}", whole.actions));
    tell("wake at", format!("{:?}", kept.wake_at), format!("{:?}", whole.wake_at));
    tell("due since", format!("{:?}", kept.due_since), format!("{:?}", whole.due_since));
    tell("waits", format!("{:?}", kept.waits), format!("{:?}", whole.waits));
    tell("troubles", format!("{:?}", kept.troubles), format!("{:?}", whole.troubles));
    text
}

#[cfg(test)]
mod tests;
