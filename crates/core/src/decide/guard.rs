//! Putting right what does not count: a record that somebody without the right wrote, an old one that was put back, one that vanished, and
//! one whose writer was removed since.
//!
//! A stray is believed to be one only after it has stood for a while and was read again together with its writer's record: the writer may
//! have been let in a moment ago. The fleet's and the nodes' records are put back as they were, by any member; the others are written anew by
//! an `issue` node that knows the last one that counted, first by those that saw it in this life. For a while nothing else is done with a
//! record that was put right, so that whoever knows a later one can put that there; what nobody puts right for long is as good as none.
//! Deliberately not here: values of a newer version, which are left alone.

use std::ops::Bound;
use std::time::Duration;

use serde_json::Value;

use super::action::{Action, Subject};
use super::facts::is_on_duty;
use super::holder::{GRACE, my_rank_among};
use super::part::Part;
use super::turn::Turn;
use crate::envelope::Expect;
use crate::key::{Key, RecordKey};
use crate::spec::Role;
use crate::time::Now;
use crate::view::{Stray, View, is_kept, is_verbatim};

/// How long a stray must have stood before it is written over; the store's delay in showing changes comes on top.
const STOOD_FOR: Duration = Duration::from_secs(2);

/// How much longer those wait whose last value is from their own disk.
const RECALLED: Duration = Duration::from_secs(10);
/// The highest rank that waits for those before it; all later ones wait as long.
const RANK_MAX: u32 = 2;

pub(super) fn decide(view: &View, now: Now, part: &mut Part) {
    if !is_on_duty(view) {
        return;
    }
    for range in of_fleet() {
        let kept = view.strays.range(range.clone()).filter_map(|(key, stray)| Some((RecordKey::of(key).filter(is_kept)?, key, stray)));
        kept.for_each(|(record, key, stray)| put_right(view, now, part, &record, key, stray));
        view.local.settling.range(range.clone()).for_each(|(key, _)| settle(view, now, part, key));
        view.voiceless.range(range).for_each(|key| vouch_again(view, now, part, key));
    }
}

/// The same of a certificate's record.
pub(super) fn certificate(turn: Turn<'_>, part: &mut Part) {
    let Turn { view, now, cert, .. } = turn;
    let record = RecordKey::Cert(cert.clone());
    let key = record.key();
    if !is_on_duty(view) {
        return;
    }
    if let Some(stray) = view.strays.get(&key) {
        part.ties.passing = true;
        put_right(view, now, part, &record, &key, stray);
    }
    settle(view, now, part, &key);
    if view.voiceless.contains(&key) {
        part.ties.passing = true;
        vouch_again(view, now, part, &key);
    }
}

/// All keys but those that are about one certificate.
fn of_fleet() -> [(Bound<Key>, Bound<Key>); 3] {
    let key = |text: &str| text.parse::<Key>().expect("it is well-formed, and nothing of its kind comes before it");
    [
        (Bound::Unbounded, Bound::Excluded(key("certs/!"))),
        (Bound::Included(key("certs0")), Bound::Excluded(key("reports/!"))),
        (Bound::Included(key("requests0")), Bound::Unbounded),
    ]
}

fn settle(view: &View, now: Now, part: &mut Part, key: &Key) {
    if let Some(moment) = view.settled_at(key) {
        part.has_come(now, moment);
    }
}

fn put_right(view: &View, now: Now, part: &mut Part, record: &RecordKey, key: &Key, stray: &Stray) {
    let Some(action) = remedy(view, record, key).filter(|_| !stray.is_newer) else {
        part.troubles.insert(format!("{key} is left alone: {}", stray.why));
        return look_for_orphan(view, now, part, key, stray);
    };
    let sure_at = stray.since + STOOD_FOR + view.local.lag;
    if now.mono < sure_at {
        return part.wake(sure_at);
    }
    let subject = || Subject::Record(key.clone());
    if stray.read_at < sure_at {
        return part.force(view, now, subject(), Action::Reread(None, reread(key, stray)));
    }
    part.troubles.insert(format!("{key} does not count and is put right: {}", stray.why));
    // Who has not seen it in this life may know an old one: others go first.
    let recalled = view.accepted.get(key).is_some_and(|accepted| accepted.signer.is_none());
    let turn = sure_at + GRACE * rank(view, now, record).min(RANK_MAX) + if recalled { RECALLED } else { Duration::ZERO };
    if now.mono < turn { part.wake(turn) } else { part.force(view, now, subject(), action) }
}

/// What nobody puts right for long is looked at once more before it is written over as if nothing stood there.
fn look_for_orphan(view: &View, now: Now, part: &mut Part, key: &Key, stray: &Stray) {
    match view.orphan_at(key) {
        Some(moment) if now.mono < moment => part.wake(moment),
        Some(moment) if stray.read_at < moment => {
            part.force(view, now, Subject::Record(key.clone()), Action::Reread(None, reread(key, stray)));
        }
        _ => {}
    }
}

fn reread(key: &Key, stray: &Stray) -> Vec<Key> {
    let writer = stray.envelope.as_ref().map(|envelope| RecordKey::Node(envelope.writer.clone()).key());
    [RecordKey::Fleet.key()].into_iter().chain(writer).chain([key.clone()]).collect()
}

fn rank(view: &View, now: Now, record: &RecordKey) -> u32 {
    let role = (!is_verbatim(record)).then_some(Role::Issue);
    my_rank_among(view, now, &record.to_string(), role)
}

/// What would put it right, if this node can.
fn remedy(view: &View, record: &RecordKey, key: &Key) -> Option<Action> {
    let accepted = view.accepted.get(key)?;
    let base = view.base(key);
    if is_verbatim(record) {
        return Some(Action::PutBack(key.clone(), accepted.verbatim.clone()?, base));
    }
    write_anew(view, record, base)
}

fn write_anew(view: &View, record: &RecordKey, base: Expect) -> Option<Action> {
    let may = view.my_roles().contains(&Role::Issue);
    let value = value_of(view, record).filter(|_| may)?;
    Some(Action::Record(record.clone(), Box::new(value), base, view.change_of(&record.key())))
}

/// The last value that counted of a record that an `issue` node may write anew.
pub fn value_of(view: &View, record: &RecordKey) -> Option<Value> {
    let value = match record {
        // Whom an invitation stands behind, any issue node may let in once more.
        RecordKey::Node(node) => serde_json::to_value(view.nodes.get(node).filter(|node| node.grant.is_some())?),
        RecordKey::Home => serde_json::to_value(view.home.as_ref()?),
        RecordKey::Invitation(id) => serde_json::to_value(view.invitations.get(id)?),
        RecordKey::AccountKey => serde_json::to_value(view.account_key.as_ref()?),
        RecordKey::Account(issuer) => serde_json::to_value(&view.accounts.get(issuer)?.value),
        RecordKey::Cert(cert) => serde_json::to_value(&view.certs.get(cert)?.value),
        _ => return None,
    };
    value.ok()
}

/// Records whose writer has no say any more: an `issue` node that took them for good says so in its own name.
fn vouch_again(view: &View, now: Now, part: &mut Part, key: &Key) {
    let Some(record) = RecordKey::of(key) else { return };
    let Some(accepted) = view.accepted.get(key).filter(|_| !view.strays.contains_key(key)) else { return };
    let Some(action) = write_anew(view, &record, Expect::Revision(accepted.revision.clone())) else { return };
    let turn = part.due(view, now, Subject::Record(key.clone())) + GRACE * rank(view, now, &record);
    if now.mono < turn { part.wake(turn) } else { part.force(view, now, Subject::Record(key.clone()), action) }
}
