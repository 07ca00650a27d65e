//! Which of several values of a record is to stand after a restore, and the fleet's record of the new epoch.
//!
//! Always holds: certificates are as the backup has them; who is in, who was removed, how often an invitation was used and which account key
//! is in use never go back: of those the latest that counts anywhere is taken.

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::FleetRecord;

use super::records::{Records, Sifted};

/// Records of one origin, and which of them count.
pub(super) struct Origin<'r> {
    pub records: &'r Records,
    pub sifted: Option<Sifted>,
}

impl<'r> Origin<'r> {
    pub fn counting(&self, key: &Key) -> Option<&'r Envelope> {
        self.sifted.as_ref()?.counting(self.records, key)
    }
}

/// The fleet's record that begins the epoch after all that were seen.
pub(super) fn next_epoch(origins: &[&Origin<'_>]) -> Option<FleetRecord> {
    let known = || origins.iter().filter_map(|origin| origin.sifted.as_ref()).map(|sifted| &sifted.fleet);
    let mut fleet = known().max_by_key(|fleet| (fleet.epoch, fleet.removals.len()))?.clone();
    known().for_each(|other| merge_removals(&mut fleet, other));
    fleet.format = known().map(|fleet| fleet.format).max().unwrap_or(fleet.format);
    fleet.epoch = fleet.epoch.saturating_add(1);
    Some(fleet)
}

/// Adds what only `other` knows; the order of what is there stays, since keys count removals by it.
pub(super) fn merge_removals(fleet: &mut FleetRecord, other: &FleetRecord) {
    for removal in &other.removals {
        match fleet.removals.iter_mut().find(|there| there.identity == removal.identity) {
            Some(there) => there.compromised |= removal.compromised,
            None => fleet.removals.push(removal.clone()),
        }
    }
}

/// What is to stand under `key`, of what the backup, the store and this node's cache have.
pub(super) fn choose<'r>(key: &Key, backup: &Origin<'r>, store: &Origin<'r>, cache: &Origin<'r>) -> Option<&'r Envelope> {
    let (old, now) = (backup.counting(key), store.counting(key));
    match RecordKey::of(key)? {
        RecordKey::Cert(_) => old,
        RecordKey::Version(..) => now.filter(|now| old.is_none_or(|old| old.body == now.body)).or(old),
        RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Request(..) => now.or(old),
        RecordKey::Node(_) | RecordKey::Invitation(_) | RecordKey::AccountKey | RecordKey::Account(_) => {
            // Of equals the last is taken: what stands already.
            [cache.counting(key), old, now].into_iter().flatten().max_by_key(|envelope| envelope.change)
        }
        RecordKey::Fleet | RecordKey::Home | RecordKey::Joining(_) | RecordKey::Presence(_) | RecordKey::Report(..) => None,
    }
}

/// Keys that this node's cache adds to what a backup has: members that came later, and what never goes back.
pub(super) fn never_goes_back(key: &Key) -> bool {
    use RecordKey::{Account, AccountKey, Invitation, Node};
    matches!(RecordKey::of(key), Some(Node(_) | Invitation(_) | AccountKey | Account(_)))
}

#[cfg(test)]
mod tests {
    use certfleet_core::records::Removal;
    use certfleet_core::time::Timestamp;
    use certfleet_core::trust::Roster;

    use super::*;

    fn fleet(epoch: u64, removals: &[(&str, bool)]) -> FleetRecord {
        let removal = |(node, compromised): &(&str, bool)| Removal {
            node: node.parse().expect("a name"),
            identity: format!("{node}.1"),
            at: Timestamp::UNIX_EPOCH,
            compromised: *compromised,
        };
        FleetRecord {
            id: "f".parse().expect("a name"),
            name: "prod".into(),
            format: 1,
            epoch,
            created_at: Timestamp::UNIX_EPOCH,
            verifying_keys: Vec::new(),
            removals: removals.iter().map(removal).collect(),
            extra: Default::default(),
        }
    }

    fn origin(records: &Records, fleet: FleetRecord) -> Origin<'_> {
        let roster = Roster::new(fleet.id.clone(), Vec::new());
        Origin { records, sifted: Some(Sifted { roster, faults: Default::default(), fleet }) }
    }

    #[test]
    fn removals_that_any_of_them_knows_stay_in_order() {
        let none = Records::new();
        let newest = FleetRecord { format: 1, ..fleet(4, &[("a", false), ("b", false)]) };
        let older = FleetRecord { format: 2, ..fleet(2, &[("a", true), ("c", false), ("d", true)]) };
        let fleet = next_epoch(&[&origin(&none, older), &Origin { records: &none, sifted: None }, &origin(&none, newest)]).expect("some");
        let removals: Vec<(&str, bool)> = fleet.removals.iter().map(|removal| (removal.node.as_str(), removal.compromised)).collect();
        assert_eq!(removals, [("a", true), ("b", false), ("c", false), ("d", true)]);
        assert_eq!((fleet.epoch, fleet.format), (5, 2));
    }
}
