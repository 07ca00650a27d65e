//! What a removed node wrote last, said again by the machine that removes it: it counts no more in that node's name.

use certfleet_core::decide::value_of;
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::trust::may_write;
use certfleet_core::view::View;
use certfleet_store::{Settled, Store, StoreError, put_settled};

use super::{MembershipError, Said};
use crate::identity::Identity;
use crate::trust::Pen;

/// How often one record is said again while its node writes on, not having read that it was removed.
const TRIES_MAX: u32 = 10;

/// What the node wrote last is said again in this machine's name, if that may write it: of those who could, nobody else may have read it while
/// it counted. What somebody else has changed or said again since is left alone. Gives what is to be kept: the removed node may not know yet, and
/// write over it.
pub(super) async fn say_again(
    store: &dyn Store,
    identity: &Identity,
    view: &View,
    removed: &NodeName,
) -> Result<Vec<Said>, MembershipError> {
    let mut said = Vec::new();
    let Some(me) = view.roster.members.get(&identity.node) else { return Ok(said) };
    for (key, accepted) in view.accepted.iter().filter(|(_, accepted)| accepted.writer == *removed) {
        let record = RecordKey::of(key).filter(|record| !is_by_fleet_key(record) && may_write(record, &identity.node, &me.granted));
        let Some((record, value)) = record.and_then(|record| value_of(view, &record).map(|value| (record, value))) else { continue };
        let there = (value, Expect::Revision(accepted.revision.clone()));
        said.extend(say_one_again(store, identity, view, removed, &record, there).await?.map(|envelope| (key.clone(), envelope)));
    }
    Ok(said)
}

/// One record. What the node has written since the view was read is as much its word as what it wrote before.
async fn say_one_again(
    store: &dyn Store,
    identity: &Identity,
    view: &View,
    removed: &NodeName,
    record: &RecordKey,
    (mut value, mut expect): (serde_json::Value, Expect),
) -> Result<Option<Envelope>, MembershipError> {
    for _ in 0..TRIES_MAX {
        let envelope = Pen::new(identity).write(record, &value, &expect)?;
        if let Settled::Done(_) = put_settled(store, &record.key(), &envelope, &expect).await? {
            return Ok(Some(envelope));
        }
        let there = match store.get(&record.key()).await {
            Err(StoreError::Corrupt { .. }) => None,
            answer => answer?,
        };
        let theirs = there.filter(|there| there.envelope.writer == *removed && view.roster.check(record, &there.envelope).is_ok());
        let Some(theirs) = theirs else { return Ok(None) };
        (value, expect) = (theirs.envelope.body, Expect::Revision(theirs.revision));
    }
    Ok(None)
}

/// These were vouched for already.
fn is_by_fleet_key(record: &RecordKey) -> bool {
    matches!(record, RecordKey::Fleet | RecordKey::Node(_))
}

#[cfg(test)]
mod tests {
    use crate::disk::Full;
    use crate::membership::remove_node;
    use crate::operator::lab::{Lab, cert_key, generation, name, now};

    /// Else an `issue` node that was away all the time would know no more than what stood there before.
    #[tokio::test]
    async fn what_only_the_removed_node_wrote_counts_for_who_reads_it_later() {
        let lab = Lab::new().await;
        lab.issue("n2", 1).await;
        let before = lab.get(&cert_key()).await.expect("is there");
        lab.remove("n2").await;
        let after = lab.get(&cert_key()).await.expect("is there");
        assert_eq!((after.writer.as_str(), after.change, &after.body), ("n1", before.change + 1, &before.body));
        assert_eq!(generation(&lab.view("n3").await), 1);
    }

    #[tokio::test]
    async fn a_full_disk_keeps_nobody_from_saying_it_again() {
        let lab = Lab::new().await;
        lab.issue("n2", 1).await;
        let (store, n1, identity, view) = (lab.store().await, lab.machine("n1"), lab.identity("n1"), lab.view("n1").await);
        let full = Full::of(&n1.settings.state);
        let removed = remove_node(store.as_ref(), &n1.settings, &identity, &view, (&name("n2"), false), &lab.fleet_key(), now()).await;
        assert!(removed.is_err_and(|error| error.to_string().contains("fleet")), "it says what it could not keep");
        drop(full);
        assert_eq!(lab.get(&cert_key()).await.expect("is there").writer.as_str(), "n1");
        assert!(lab.view("n1").await.is_removed(&name("n2")), "the removal counts");
    }

    /// It goes on until it has read of its removal.
    #[tokio::test]
    async fn what_the_node_writes_meanwhile_is_said_again_too() {
        let lab = Lab::new().await;
        lab.issue("n2", 1).await;
        let (store, n1, identity, view) = (lab.store().await, lab.machine("n1"), lab.identity("n1"), lab.view("n1").await);
        lab.issue("n2", 2).await;
        let what = (&name("n2"), false);
        remove_node(store.as_ref(), &n1.settings, &identity, &view, what, &lab.fleet_key(), now()).await.expect("removes");
        assert_eq!(lab.get(&cert_key()).await.expect("is there").writer.as_str(), "n1");
        assert_eq!(generation(&lab.view("n3").await), 2);
    }
}
