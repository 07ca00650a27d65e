//! What must hold after every event, one checker per file. Each sees the whole world from above and says what is wrong.
//!
//! Always holds: a checker judges what happened (a write that took place, a request that the CA took, a certificate on a server), never what
//! a node thinks.

mod accounts;
mod agreement;
mod blobs;
mod fenced;
mod forged;
mod holders;
mod issuance;
mod late;
mod limits;
mod losses;
mod older;
mod placements;
mod presences;
mod records;
mod rollout;
pub mod serving;
mod storms;
mod thrift;
mod withheld;

use std::time::Duration;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{AccountKeyRecord, CertRecord, FleetRecord, NodeRecord, Placed, Presence, Report};
use certfleet_core::time::Timestamp;

pub use agreement::Agreement;
pub use blobs::Blobs;
pub use fenced::Fenced;
pub use forged::{After, FORGED, FORGER, Forged, is_marked};
pub use holders::Holders;
pub use issuance::Issuance;
pub use late::Late;
pub use limits::Limits;
pub use losses::Losses;
pub use older::Older;
pub use placements::Placements;
pub use presences::{Presences, Sighting};
pub use records::Records;
pub use rollout::Rollout;
pub use storms::Storms;
pub use withheld::Withheld;

/// For so long after a backup was brought back nobody is blamed for what old presences said.
const SHAKEN: Duration = Duration::from_secs(300);

/// All of them.
#[derive(Debug, Default)]
pub struct Checkers {
    /// Certificates' records go their way.
    pub records: Records,
    /// One certificate for each attempt, with its key kept.
    pub issuance: Issuance,
    /// Who was removed changes nothing.
    pub fenced: Fenced,
    /// Nothing forged is acted on.
    pub forged: Forged,
    /// What may be put there again.
    pub older: Older,
    /// What a fail-over excuses.
    pub losses: Losses,
    /// What the CA granted.
    pub limits: Limits,
    /// Nodes do not go back.
    pub placements: Placements,
    /// What records refer to is there.
    pub blobs: Blobs,
    /// Who lives keeps what it holds.
    pub holders: Holders,
    /// Canaries go first.
    pub rollout: Rollout,
    /// Nobody writes without end.
    pub storms: Storms,
    /// A served store shows members what they need.
    pub withheld: Withheld,
    agreement: Agreement,
    presences: Presences,
    removals: u64,
}

/// A write of a member that took place.
#[derive(Debug)]
pub struct Write<'a> {
    /// Who.
    pub who: &'a NodeName,
    /// Where.
    pub key: &'a RecordKey,
    /// What stood there.
    pub before: Option<&'a Envelope>,
    /// What stands there now.
    pub after: Option<&'a Envelope>,
    /// The right time.
    pub now: Timestamp,
}

/// What was found, after the checker's name.
pub type Finding = (&'static str, String);

impl Checkers {
    /// Of a store that shows this much.
    pub fn of(withheld: Withheld) -> Self {
        Self { withheld, ..Self::default() }
    }

    /// A member wrote, or removed, something: what is wrong with it. What was lost under a key excuses what is done there since.
    pub fn wrote(&mut self, write: &Write<'_>) -> Vec<Finding> {
        let mut found = self.judge(write);
        // Presences went back too, until those who live have beaten again.
        let is_shaken = self.forged.was_brought_back_within(SHAKEN);
        found.retain(|(checker, _)| !(is_shaken && matches!(*checker, "holders" | "agreement")));
        if self.losses.has_lost(&write.key.key()) { Vec::new() } else { found }
    }

    fn judge(&mut self, write: &Write<'_>) -> Vec<Finding> {
        let Some(after) = write.after else {
            return found([("blobs", self.blobs.removed(write.key))]);
        };
        match write.key {
            RecordKey::Fleet => {
                let Ok(fleet) = after.record::<FleetRecord>() else { return Vec::new() };
                self.removals = fleet.removals.len() as u64;
                self.presences.removed(&fleet);
                self.fenced.wrote(&fleet);
                Vec::new()
            }
            RecordKey::Node(node) => {
                let identity = |envelope: &Envelope| envelope.record::<NodeRecord>().map(|record| record.identity).ok();
                if write.before.and_then(identity) != identity(after) {
                    self.presences.replaced(node);
                }
                Vec::new()
            }
            RecordKey::Presence(node) => {
                let _ = after.record::<Presence>().map(|presence| self.presences.wrote(node, &presence));
                found([("agreement", self.agreement.presented(node, &self.presences))])
            }
            RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..) => {
                self.blobs.wrote(write.key);
                Vec::new()
            }
            RecordKey::Report(cert, node, _) => {
                let Ok(report) = after.record::<Report>() else { return Vec::new() };
                self.rollout.reported(node, cert, &report);
                found([("blobs", self.blobs.reported(node, cert, &report))])
            }
            RecordKey::AccountKey => {
                let keys = [write.before, Some(after)].map(|envelope| envelope?.record::<AccountKeyRecord>().ok());
                found([("accounts", accounts::wrote(keys[0].as_ref(), keys[1].as_ref(), &self.presences))])
            }
            RecordKey::Cert(cert) => self.wrote_certificate(write, cert),
            _ => Vec::new(),
        }
    }

    /// Somebody made a node's presence say nothing, or what it said before: nobody is blamed for believing that.
    pub fn is_misled(&mut self, key: &Key) {
        if let Some(RecordKey::Presence(node)) = RecordKey::of(key) {
            self.presences.replaced(&node);
        }
    }

    /// Whether the one machine that had the key of what is placed, a copy that is gone, has taken it along.
    pub fn is_out_of_reach(&self, cert: &CertName, record: &CertRecord) -> bool {
        cert.node().is_some() && record.placed.as_ref().is_some_and(|placed| self.presences.was_lacked(&placed.key))
    }

    /// The machine of `node` lost its disk, with these keys and all that was served there.
    pub fn disk_lost(&mut self, node: &NodeName, keys: Vec<Key>) {
        self.losses.gone(keys);
        self.forgets(node);
    }

    /// A copy of a machine is about to run: it has and knows the same.
    pub fn is_copied(&mut self, node: &NodeName, copy: &NodeName) {
        self.forged.is_copied(node, copy);
        self.fenced.is_copied(node, copy);
        self.placements.is_copied(node, copy);
        self.rollout.is_copied(node, copy);
    }

    /// A copy goes on in its original's place: what that one had and knew is gone.
    pub fn takes_the_place_of(&mut self, copy: &NodeName, node: &NodeName) {
        self.forgets(node);
        self.is_copied(copy, node);
        self.forgets(copy);
    }

    /// What a machine had and knew is gone.
    pub fn forgets(&mut self, who: &NodeName) {
        self.forged.forgets(who);
        self.placements.disk_lost(who);
        self.rollout.disk_lost(who);
    }

    /// A server of `node`, on the machine `who`, took what was placed: what is wrong with it. `keeps`: whether the machine can write that down.
    /// `record` is the certificate's.
    pub fn installed(
        &mut self,
        (who, node, keeps): (&NodeName, &NodeName, bool),
        (cert, record): (&CertName, Option<&CertRecord>),
        placed: &Placed,
        now: Timestamp,
    ) -> Vec<Finding> {
        self.blobs.installed(node, cert, placed.placement.generation);
        let placements =
            if keeps { self.placements.installed(who, cert, placed).map_err(|violation| violation.to_string()) } else { Ok(()) };
        let rollout = record.map_or(Ok(()), |record| self.rollout.installed((who, node), (cert, record), placed, &self.presences, now));
        found([("placements", placements), ("rollout", rollout)])
    }

    fn wrote_certificate(&mut self, write: &Write<'_>, cert: &CertName) -> Vec<Finding> {
        let [before, after] = [write.before, write.after].map(|envelope| envelope?.record::<CertRecord>().ok());
        let (before, Some(after)) = (before.as_ref(), after.as_ref()) else { return Vec::new() };
        let placed = before.and_then(|before| before.placed.as_ref());
        let is_spent = placed.is_some_and(|placed| self.presences.was_lacked(&placed.key) || placed.after_removals < self.removals);
        if !self.losses.has_lost(&write.key.key()) {
            self.agreement.wrote(write.who, cert, before, after, &self.presences);
        }
        found([
            ("thrift", thrift::wrote(cert, before, after, is_spent, write.now)),
            ("holders", self.holders.wrote(cert, before, after, &self.presences)),
            ("blobs", self.blobs.placed(cert, after)),
        ])
    }
}

fn found<const N: usize>(judged: [(&'static str, Result<(), String>); N]) -> Vec<Finding> {
    judged.into_iter().filter_map(|(checker, judged)| Some((checker, judged.err()?))).collect()
}
