//! What somebody who can write to the store puts there without the right to: a member, by its own key, or anybody, by none; or what stood there
//! before; or nothing at all.
//!
//! Deliberately not here: records from before a backup was restored. They are believed (docs/threat-model.md says what that costs).

use std::fmt;

use certfleet_core::envelope::{Envelope, Expect, Nonce};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::spec::Roles;
use certfleet_core::trust::may_write;
use certfleet_node::identity::Identity;
use serde_json::Value;

use crate::draw::Draw;
use crate::scenario::Scene;
use crate::watch::{FORGED, FORGER};

/// Most that are put there at one moment.
const AT_ONCE_MAX: u64 = 4;

/// One record that is forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgery {
    how: How,
    /// What all else about it is drawn from.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The record is changed, and the signature stays or goes.
    Unsigned,
    /// The record is changed, in the name of who wrote it, signed by the member.
    InAnothersName,
    /// The record is changed, signed by the member in its own name, where it may not write.
    WithoutRole,
    /// What stood there before stands there again.
    Replayed,
    /// Nothing stands there any more.
    Deleted,
    /// A sealed key, a wrap or a chain is another text.
    Spoiled,
}

impl Forgery {
    /// Some for one moment.
    pub(super) fn draw(draw: &mut Draw) -> Vec<Self> {
        let hows = [How::Unsigned, How::InAnothersName, How::WithoutRole, How::Replayed, How::Deleted, How::Spoiled];
        (0..draw.between(1, AT_ONCE_MAX)).map(|_| Self { how: *draw.one(&hows), number: draw.number() }).collect()
    }

    /// On one of the records that it can be done to, by the member on this machine.
    pub(super) fn strike(self, scene: &Scene, node: &NodeName) {
        let (engine, mut draw) = (&scene.world.site.engine, Draw::new(self.number));
        let roles = scene.shape.granted_to(node);
        let aims = engine.keys().into_iter().filter(|key| self.is_aimed_at(scene, (node, &roles), key));
        let aims: Vec<Key> = aims.collect();
        if aims.is_empty() {
            return;
        }
        let key = draw.one(&aims);
        let Ok(Some(there)) = engine.get(key) else { return };
        let forged = match self.how {
            How::Deleted => None,
            How::Replayed => Some(draw.one(&scene.world.observer.earlier(key)).clone()),
            How::Spoiled => Some(spoiled(&there.envelope)),
            _ => match self.changed(scene, node, key, &there.envelope, &mut draw) {
                None => return,
                changed => changed,
            },
        };
        engine.swap(FORGER, key, forged.as_ref(), &Expect::Revision(there.revision));
        scene.unsettle_all();
    }

    fn is_aimed_at(self, scene: &Scene, (node, roles): (&NodeName, &Roles), key: &Key) -> bool {
        use RecordKey::{Account, AccountKey, Cert, Fleet, Joining, Node, Presence, PrivateKey, Report, Version, Wrap};
        let Some(record) = RecordKey::of(key) else { return false };
        // What nobody knows nobody can put right, and without these there is no fleet. Where they are all that there is, nodes take it for another
        // store.
        let (is_known, account_key) = (|key: &Key| scene.world.observer.is_known(key), AccountKey.key());
        let stands_alone = !is_known(&account_key) || scene.world.site.engine.envelope(&account_key).is_none();
        if matches!(record, Fleet | Node(_)) && (!is_known(key) || stands_alone) {
            return false;
        }
        match self.how {
            // Who asks to be let in does not look whether that stands there still.
            How::Deleted => !matches!(record, Joining(_)),
            How::Spoiled => matches!(record, PrivateKey(_) | Wrap(..) | Version(..)),
            How::Replayed => !scene.world.observer.earlier(key).is_empty(),
            How::WithoutRole => matches!(record, Cert(_) | Account(_) | Presence(_) | Report(..)) && !may_write(&record, node, roles),
            How::Unsigned | How::InAnothersName => {
                matches!(record, Cert(_) | Account(_) | AccountKey | Fleet | Node(_) | Presence(_) | Report(..))
            }
        }
    }

    /// What stands there, with other fields.
    fn changed(self, scene: &Scene, node: &NodeName, key: &Key, there: &Envelope, draw: &mut Draw) -> Option<Envelope> {
        let mut forged = Envelope { change: there.change + 1, ..there.clone() };
        if draw.once_in_a_thousand(500) {
            let mut nonce = [0; 16];
            draw.fill(&mut nonce);
            forged.nonce = Nonce::from_random(nonce);
        }
        let body = forged.body.as_object_mut()?;
        body.insert(FORGED.into(), Value::Bool(true));
        let gone = draw.one(&["nothing", "attempt", "placed"]);
        body.get_mut(*gone).into_iter().for_each(|field| *field = Value::Null);
        if self.how == How::Unsigned {
            forged.signature = if draw.once_in_a_thousand(500) { String::new() } else { forged.signature };
            return Some(forged);
        }
        // Who has lost its disk has no key.
        let member = Identity::load(&scene.with(node, |machine| machine.state())).ok().flatten()?;
        if self.how == How::WithoutRole {
            forged.writer = member.node.clone();
        }
        let is_its_own = self.how == How::InAnothersName && forged.writer == member.node;
        (!is_its_own).then(|| forged.signed(&member.fleet, key, &member.signing_key))
    }
}

/// The longest text in it, which is the sealed key or the chain, is another one.
fn spoiled(there: &Envelope) -> Envelope {
    let mut spoiled = there.clone();
    if let Some(text) = longest(&mut spoiled.body) {
        *text = text.chars().rev().collect();
    }
    spoiled
}

fn longest(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(values) => values.iter_mut().filter_map(longest).max_by_key(|text| text.len()),
        Value::Object(fields) => fields.values_mut().filter_map(longest).max_by_key(|text| text.len()),
        _ => None,
    }
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.how {
            How::Unsigned => "a record is changed without a signature",
            How::InAnothersName => "it writes in another's name",
            How::WithoutRole => "it writes what it may not",
            How::Replayed => "an old record is put back",
            How::Deleted => "a record is deleted",
            How::Spoiled => "a key, a wrap or a chain is spoiled",
        })
    }
}
