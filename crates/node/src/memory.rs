//! What a node remembers beyond its process: attempt numbers and placements it has seen, and what it answers when the store is away. All of
//! it in the state directory; the records that it took for good last are with the keeper.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certfleet_core::names::{CertName, Identifier};
use certfleet_core::spec::Role;
use certfleet_core::view::{Memory, View};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// What was seen of each certificate.
pub type Memories = BTreeMap<CertName, Memory>;

fn memory_path(state: &Path) -> PathBuf {
    state.join("memory.json")
}

fn answers_path(state: &Path) -> PathBuf {
    state.join("answers.json")
}

/// Reads the memory of earlier lives; none yet is empty.
pub fn load(state: &Path) -> Result<Memories, DiskError> {
    Ok(disk::read_json(&memory_path(state))?.unwrap_or_default())
}

/// Keeps it.
pub fn save(state: &Path, memories: &Memories) -> Result<(), DiskError> {
    disk::write_json(&memory_path(state), memories)
}

/// What challenges are answered with; public values only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KnownAnswers {
    /// Every managed name.
    pub names: Vec<Identifier>,
    /// Of the account key.
    pub thumbprint: Option<String>,
    /// Names that are validated by an account with another key.
    #[serde(default)]
    pub by_name: Vec<(Identifier, String)>,
}

impl KnownAnswers {
    /// What the view says; nothing on a node without the role `answer`.
    pub fn of(view: &View) -> Self {
        if !view.my_roles().contains(&Role::Answer) {
            return Self::default();
        }
        let by_name = view.other_thumbprints().map(|(name, thumbprint)| (name.clone(), thumbprint.to_owned())).collect();
        Self { names: view.managed_names(), thumbprint: view.account_thumbprint().map(str::to_owned), by_name }
    }

    /// What was answered when the store was last there.
    pub fn load(state: &Path) -> Result<Option<Self>, DiskError> {
        disk::read_json(&answers_path(state))
    }

    /// Keeps it.
    pub fn save(&self, state: &Path) -> Result<(), DiskError> {
        disk::write_json(&answers_path(state), self)
    }
}
