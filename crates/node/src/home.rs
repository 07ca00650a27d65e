//! What a node remembers of where its fleet lives: how often it has moved, and what the store at its URL was to it last.
//!
//! Always holds: what was said of one store is never recalled for another. Which store it was is told by its URL; where that is written in
//! another way for the same store, the store says it again.

use std::path::{Path, PathBuf};

use certfleet_core::envelope::Envelope;
use certfleet_core::hash::sha256_hex;
use certfleet_core::key::RecordKey;
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::time::Mono;
use certfleet_core::view::{Moves, View};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::keeper::Keeper;
use crate::memory;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// How often the fleet has moved.
    pub moves: Moves,
    /// The hash of the URL of the store that said so: URLs may hold passwords.
    store: String,
    /// Its own word, by which it is put right.
    said: Option<Envelope>,
}

fn path(state: &Path) -> PathBuf {
    state.join("home.json")
}

fn hash(url: &str) -> String {
    sha256_hex(url.as_bytes())
}

/// What earlier lives of this node saw.
pub fn load(state: &Path) -> Result<Remembered, DiskError> {
    Ok(disk::read_json(&path(state))?.unwrap_or_default())
}

/// Keeps what the store at `url` says. A copy that has not ended is not remembered.
pub fn keep(state: &Path, url: &str, view: &View, said: &Envelope) -> Result<(), DiskError> {
    if said.record::<HomeRecord>().is_ok_and(|home| home.state == HomeState::Arriving) {
        return Ok(());
    }
    let remembered = Remembered { moves: view.local.moves.clone(), store: hash(url), said: Some(said.clone()) };
    disk::write_json(&path(state), &remembered)
}

impl Remembered {
    /// What the store at `url` said of itself.
    pub fn of(&self, url: &str) -> Option<&Envelope> {
        self.said.as_ref().filter(|_| self.store == hash(url))
    }
}

/// Takes into a fresh view what earlier lives of this node knew, where the store is at `url`.
pub fn recall(view: &mut View, state: &Path, url: &str, now: Mono) -> Result<(), DiskError> {
    if has(Mutant::ForgetMemory) {
        return Ok(());
    }
    view.local.memory = memory::load(state)?.into();
    let remembered = load(state)?;
    for (key, envelope) in Keeper::new(state).all("").into_iter().filter(|(key, _)| *key != RecordKey::Home.key()) {
        view.recall(&key, &envelope, now);
    }
    view.local.moves.clone_from(&remembered.moves);
    if let Some(said) = remembered.of(url) {
        view.recall(&RecordKey::Home.key(), said, now);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: HomeState) -> Envelope {
        let home = HomeRecord {
            number: 3,
            state,
            copy: "c".into(),
            other: "file:///b".into(),
            at: certfleet_core::time::Timestamp::UNIX_EPOCH,
            extra: Default::default(),
        };
        let nonce = certfleet_store::fresh_nonce().expect("random");
        Envelope::new("lb0".parse().expect("name"), nonce, &home).expect("wraps")
    }

    fn somebody() -> certfleet_core::view::Me {
        certfleet_core::view::Me {
            node: "lb0".parse().expect("name"),
            incarnation: "lb0.1".parse().expect("name"),
            identity: "lb0".into(),
            fleet: "f".parse().expect("name"),
            verifying_keys: Vec::new(),
            configured: Default::default(),
            version: String::new(),
        }
    }

    fn nothing() -> certfleet_core::spec::FleetSpec {
        let hash = certfleet_core::names::ConfigHash::of(b"");
        certfleet_core::spec::FleetSpec { hash, certificates: Default::default(), issuers: Default::default(), targets: Default::default() }
    }

    #[test]
    fn what_one_store_said_is_not_recalled_for_another() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut view = certfleet_core::view::View::new(somebody(), nothing());
        view.local.moves.number = 3;
        let left = said(HomeState::Left);
        keep(dir.path(), "file:///a", &view, &left).expect("keeps");
        keep(dir.path(), "file:///b", &view, &said(HomeState::Arriving)).expect("does nothing");
        let known = load(dir.path()).expect("loads");
        assert_eq!((known.of("file:///a"), known.of("file:///b"), known.moves.number), (Some(&left), None, 3));
        recall(&mut view, dir.path(), "file:///b", Mono::default()).expect("recalls");
        assert_eq!(view.home, None);
        recall(&mut view, dir.path(), "file:///a", Mono::default()).expect("recalls");
        assert_eq!(view.home.expect("was recalled").state, HomeState::Left);
    }
}
