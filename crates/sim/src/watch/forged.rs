//! Nothing that was forged is acted on: no member writes what it can have from a forged value alone. What was forged is no step of a record, and
//! a step is judged by what a member wrote before it.
//!
//! Who puts a record right may know an older value than others do, who put theirs there then: that is no step either.
//!
//! A backup that is brought back is the same, of all records at once. It is no excuse where a witness was there all the time who knew the latest
//! value and could put it right; where there was none, what was written since the backup counts as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::envelope::{Envelope, Nonce};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::view::is_kept;
use tokio::time::Instant;

/// The one who writes without the right to.
pub const FORGER: &str = "forger";
/// A field that only forged records have; members keep fields that they do not know.
pub const FORGED: &str = "forged";

/// Those who know better look twice and let each other go first (`decide::guard`); so long others may go on from what stands there.
const PUT_RIGHT_WITHIN: Duration = Duration::from_secs(6);

/// What members wrote, and what was forged over it.
#[derive(Debug, Default)]
pub struct Forged {
    /// Whether somebody will forge in this world: else nothing has to be remembered.
    pub is_to_come: bool,
    /// What members wrote of the records that are never removed, the last one last.
    written: BTreeMap<Key, Vec<Envelope>>,
    hidden: BTreeMap<Key, Hidden>,
    /// Which value of these records each node has seen last.
    seen: BTreeMap<Key, BTreeMap<NodeName, Nonce>>,
    undisturbed: BTreeSet<NodeName>,
    were_stopped: bool,
    brought_back_at: Option<Instant>,
    /// How long who knows better may still be shown what stood there before, and so sees nothing to put right; and until when.
    shown_old: Duration,
    shown_old_until: Option<Instant>,
    /// What a restore that is under way has written.
    restoring: BTreeSet<Key>,
}

/// What a member wrote last where something else stands: what was forged, or something older that a member put there instead.
#[derive(Debug)]
struct Hidden {
    genuine: Option<Envelope>,
    is_forged: bool,
    /// Of a backup that was brought back: who knows better and has been there since. Of what was forged: nobody, if nobody had seen it.
    witnesses: Option<BTreeSet<NodeName>>,
    /// Who goes on with something older knowing no better, if not all others had seen it: all but these.
    knew: Option<BTreeSet<NodeName>>,
}

/// What a member's write came after.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// What stood there.
    There,
    /// This, over which something was forged.
    Genuine(Option<Box<Envelope>>),
    /// It is itself what some member wrote before something was forged.
    Again,
    /// This, which nobody there knew.
    Lost(Option<Box<Envelope>>),
}

impl Forged {
    /// Something was forged over `before`. If that was written by somebody who died before it heard so, and nobody else has seen it, it is lost.
    /// Who is not running may have died before it kept what it saw last.
    pub fn forged(&mut self, key: &Key, before: Option<&Envelope>, is_running: impl Fn(&NodeName) -> bool) {
        let knows = |before: &Envelope, seen: &BTreeMap<NodeName, Nonce>| -> BTreeSet<NodeName> {
            seen.iter().filter(|(_, nonce)| **nonce == before.nonce).map(|(node, _)| node.clone()).collect()
        };
        let nobody = BTreeMap::new();
        let seen = self.seen.get(key).or_else(|| RecordKey::of(key).is_some_and(|record| is_kept(&record)).then_some(&nobody));
        let knew = before.zip(seen).map(|(before, seen)| knows(before, seen));
        let witnesses = knew.as_ref().filter(|knew| knew.is_empty()).map(|_| BTreeSet::new());
        let knew = knew.map(|knew| knew.into_iter().filter(is_running).collect());
        let hidden =
            self.hidden.entry(key.clone()).or_insert_with(|| Hidden { genuine: before.cloned(), is_forged: true, witnesses, knew });
        hidden.is_forged = true;
    }

    /// A backup's record stands where `before` did, and counts when all are written.
    pub fn is_being_restored(&mut self, key: &Key, before: Option<&Envelope>) {
        if RecordKey::of(key).is_some_and(|record| is_kept(&record)) {
            self.forged(key, before, |_| false);
            self.restoring.insert(key.clone());
        }
    }

    /// It counts: what members had written there last, and is lost. In a new epoch nobody is held to what it knew in the old one, and nobody
    /// puts back what was written in that: it would count again (docs/threat-model.md).
    pub fn is_restored(&mut self) -> Vec<(Key, Option<Envelope>)> {
        self.written.clear();
        self.seen.values_mut().for_each(BTreeMap::clear);
        self.hidden.values_mut().for_each(|hidden| hidden.knew = Some(BTreeSet::new()));
        self.hidden.remove(&RecordKey::Fleet.key());
        let restored = std::mem::take(&mut self.restoring).into_iter();
        restored.filter_map(|key| self.hidden.get(&key).map(|hidden| (key.clone(), hidden.genuine.clone()))).collect()
    }

    /// A node has seen a value.
    pub fn saw(&mut self, node: &NodeName, key: &Key, value: &Envelope) {
        if self.is_to_come && RecordKey::of(key).is_some_and(|record| is_kept(&record)) {
            self.seen.entry(key.clone()).or_default().insert(node.clone(), value.nonce.clone());
        }
    }

    /// A copy of a machine knows the same.
    pub fn is_copied(&mut self, node: &NodeName, copy: &NodeName) {
        self.seen.values_mut().for_each(|seen| {
            if let Some(nonce) = seen.get(node).cloned() {
                seen.insert(copy.clone(), nonce);
            }
        });
    }

    /// Whether anybody has seen the record.
    pub fn is_known(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|seen| !seen.is_empty())
    }

    /// A node's disk is lost, or it is removed: what only it has seen nobody can put right.
    pub fn forgets(&mut self, node: &NodeName) {
        self.seen.values_mut().for_each(|seen| drop(seen.remove(node)));
        self.hidden.values_mut().for_each(|hidden| hidden.is_forgotten_by(node));
    }

    /// A backup is about to be brought back; these nodes are well, or were until they were stopped for it. The engine may show them so long what
    /// stood there before.
    pub fn comes_back(&mut self, undisturbed: BTreeSet<NodeName>, were_stopped: bool, shown_old: Duration) {
        let now = Instant::now();
        (self.undisturbed, self.were_stopped, self.brought_back_at) = (undisturbed, were_stopped, Some(now));
        self.shown_old = shown_old;
        self.is_changed_for_others();
    }

    /// What stands there now, others who know better have yet to see.
    fn is_changed_for_others(&mut self) {
        self.shown_old_until = Some(Instant::now() + self.shown_old + PUT_RIGHT_WITHIN);
    }

    /// A backup was brought back so lately.
    pub fn was_brought_back_within(&self, span: Duration) -> bool {
        self.brought_back_at.is_some_and(|at| at.elapsed() < span)
    }

    /// A backup was brought back: `there` stands where `latest` did. `may`: who could put that right.
    pub fn brought_back(&mut self, key: &Key, latest: Option<&Envelope>, there: Option<&Envelope>, may: impl Fn(&NodeName) -> bool) {
        let genuine = self.hidden.remove(key).map_or_else(|| latest.cloned(), |hidden| hidden.genuine);
        let nonce = |envelope: &Envelope| envelope.nonce.clone();
        if there.map(nonce) == genuine.as_ref().map(nonce) {
            return;
        }
        let knows =
            |node: &&NodeName| self.seen.get(key).and_then(|seen| seen.get(*node)) == genuine.as_ref().map(|genuine| &genuine.nonce);
        // Who knows a record only from its disk lets others go first, and with a certificate's somebody may go on at once.
        let goes_on = self.were_stopped && matches!(RecordKey::of(key), Some(RecordKey::Cert(_)));
        let witnesses = self.undisturbed.iter().filter(|node| !goes_on && may(node)).filter(knows).cloned().collect();
        self.hidden.insert(key.clone(), Hidden { genuine, is_forged: true, witnesses: Some(witnesses), knew: None });
    }

    /// These nodes are not witnesses any more.
    pub fn are_disturbed(&mut self, is_disturbed: impl Fn(&NodeName) -> bool) {
        let witnesses = self.hidden.values_mut().filter_map(|hidden| hidden.witnesses.as_mut());
        witnesses.for_each(|witnesses| witnesses.retain(|node| !is_disturbed(node)));
    }

    /// A member wrote, or removed, something.
    pub fn wrote(&mut self, who: &str, key: &Key, after: Option<&Envelope>) -> After {
        let written = self.written.get(key).map(Vec::as_slice).unwrap_or_default();
        let is_again =
            |hidden: &Hidden| hidden.genuine.is_some() && written.iter().any(|was| Some(&was.body) == after.map(|after| &after.body));
        if let Some(hidden) = self.hidden.get_mut(key).filter(|hidden| is_again(hidden)) {
            hidden.is_forged = false;
            if hidden.genuine.as_ref().map(|genuine| &genuine.body) == after.map(|after| &after.body) {
                self.hidden.remove(key);
            } else if self.brought_back_at.is_some() {
                self.is_changed_for_others();
            }
            return After::Again;
        }
        let hidden = self.hidden.remove(key);
        if let Some(after) = after.filter(|_| self.is_to_come && RecordKey::of(key).is_some_and(|record| is_kept(&record))) {
            self.written.entry(key.clone()).or_default().push(after.clone());
        }
        match hidden {
            None => After::There,
            Some(hidden) if hidden.is_excused() || !hidden.was_known_to(who) || self.is_nowhere_seen(&hidden, who) => {
                After::Lost(hidden.genuine.map(Box::new))
            }
            Some(hidden) => After::Genuine(hidden.genuine.map(Box::new)),
        }
    }

    /// Whether those who know better, of whom `who` is none, cannot see yet that a backup was brought back.
    fn is_nowhere_seen(&self, hidden: &Hidden, who: &str) -> bool {
        let witnesses = hidden.witnesses.as_ref().filter(|witnesses| witnesses.iter().all(|node| node.as_str() != who));
        witnesses.is_some() && self.shown_old_until.is_some_and(|until| Instant::now() < until)
    }

    /// What a member wrote has nothing that was forged.
    pub fn is_clean(who: &str, key: &Key, after: Option<&Envelope>) -> Result<(), String> {
        match after.filter(|after| is_marked(after)) {
            Some(_) => Err(format!("{who} writes {key} with what somebody forged")),
            None => Ok(()),
        }
    }

    /// What a member wrote last, where something else stands.
    pub fn genuine(&self, key: &Key) -> Option<Option<&Envelope>> {
        self.hidden.get(key).map(|hidden| hidden.genuine.as_ref())
    }

    /// The engine lost what stood there, and now has `there`.
    pub fn lost(&mut self, key: &Key, there: Option<&Envelope>) {
        self.hidden.remove(key);
        if there.is_some_and(is_marked) {
            let genuine = self.written.get(key).and_then(|written| written.last()).cloned();
            self.hidden.insert(key.clone(), Hidden { genuine, is_forged: true, witnesses: None, knew: None });
        }
    }

    /// What was written there before the last.
    pub fn earlier(&self, key: &Key) -> &[Envelope] {
        self.written.get(key).and_then(|written| written.split_last()).map(|(_, earlier)| earlier).unwrap_or_default()
    }

    /// Whether a member has written this very value.
    pub fn was_written(&self, key: &Key, value: &Envelope) -> bool {
        self.written.get(key).is_some_and(|written| written.iter().any(|was| was.body == value.body))
    }

    /// Whether nobody who could put the record right knows what it hides.
    pub fn is_lost_for_good(&self, key: &Key) -> bool {
        self.hidden.get(key).is_some_and(Hidden::is_excused)
    }

    /// A record that is never removed and that nobody has put right.
    pub fn left(&self) -> Option<&Key> {
        let is_left = |(key, hidden): &(&Key, &Hidden)| {
            hidden.is_forged && !hidden.is_excused() && RecordKey::of(key).is_some_and(|record| is_kept(&record))
        };
        self.hidden.iter().find(is_left).map(|(key, _)| key)
    }
}

impl Hidden {
    fn is_forgotten_by(&mut self, node: &NodeName) {
        if self.knew.as_mut().is_some_and(|knew| knew.remove(node) && knew.is_empty()) {
            self.witnesses = Some(BTreeSet::new());
        }
    }

    fn was_known_to(&self, who: &str) -> bool {
        self.knew.as_ref().is_none_or(|knew| knew.iter().any(|node| node.as_str() == who))
    }

    fn is_excused(&self) -> bool {
        self.witnesses.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// Whether somebody forged it, or wrote it by what was forged.
pub fn is_marked(envelope: &Envelope) -> bool {
    envelope.body.get(FORGED).is_some()
}

#[cfg(test)]
mod tests;
