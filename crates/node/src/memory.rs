//! What a node remembers beyond its process: attempt numbers and placements it has seen, what it answers when the store is away, and the
//! last generations it installed. All of it in the state directory, never beside the live files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certfleet_core::names::{CertName, Generation, Identifier};
use certfleet_core::secret::Secret;
use certfleet_core::view::{Memory, View};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// How many generations of each certificate are kept.
pub const GENERATIONS_KEPT: usize = 3;

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
}

impl KnownAnswers {
    /// What the view says.
    pub fn of(view: &View) -> Self {
        Self { names: view.managed_names(), thumbprint: view.account_key.as_ref().map(|key| key.thumbprint.clone()) }
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

/// A generation as it lies in the state directory.
#[derive(Debug, Clone)]
pub struct KeptGeneration {
    /// PEM, leaf first.
    pub chain: String,
    /// PKCS#8, PEM.
    pub key: Secret,
}

fn generations_path(state: &Path, cert: &CertName) -> PathBuf {
    state.join("generations").join(cert.as_str())
}

/// A generation that was installed before, if it is still there and whole.
pub fn load_generation(state: &Path, cert: &CertName, generation: Generation) -> Result<Option<KeptGeneration>, DiskError> {
    let dir = generations_path(state, cert).join(generation.to_string());
    let (Some(chain), Some(key)) = (disk::read(&dir.join("fullchain.pem"))?, disk::read(&dir.join("privkey.pem"))?) else {
        return Ok(None);
    };
    Ok(String::from_utf8(chain).ok().map(|chain| KeptGeneration { chain, key: Secret::new(key) }))
}

/// Keeps a generation; the oldest beyond [`GENERATIONS_KEPT`] go.
pub fn keep_generation(state: &Path, cert: &CertName, generation: Generation, kept: &KeptGeneration) -> Result<(), DiskError> {
    let all = generations_path(state, cert);
    let dir = all.join(generation.to_string());
    disk::write_private(&dir.join("privkey.pem"), kept.key.expose())?;
    disk::write_private(&dir.join("fullchain.pem"), kept.chain.as_bytes())?;
    let mut numbers = kept_generations(state, cert);
    numbers.retain(|number| *number != generation);
    let surplus = (numbers.len() + 1).saturating_sub(GENERATIONS_KEPT);
    for old in &numbers[..surplus.min(numbers.len())] {
        let _ = std::fs::remove_dir_all(all.join(old.to_string()));
    }
    Ok(())
}

/// The numbers of the generations that lie in the state directory, rising.
pub fn kept_generations(state: &Path, cert: &CertName) -> Vec<Generation> {
    let entries = std::fs::read_dir(generations_path(state, cert)).into_iter().flatten().flatten();
    let mut numbers: Vec<_> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Generation)).collect();
    numbers.sort();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_generations_are_kept() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let cert: CertName = "example.com".parse().expect("name");
        for n in 1..=5 {
            let kept = KeptGeneration { chain: format!("chain {n}"), key: Secret::from(format!("key {n}")) };
            keep_generation(dir.path(), &cert, Generation(n), &kept).expect("keeps");
        }
        assert_eq!(kept_generations(dir.path(), &cert), [Generation(3), Generation(4), Generation(5)]);
        let loaded = load_generation(dir.path(), &cert, Generation(4)).expect("reads").expect("is there");
        assert_eq!((loaded.chain.as_str(), loaded.key.expose_text()), ("chain 4", Some("key 4")));
        assert!(load_generation(dir.path(), &cert, Generation(1)).expect("reads").is_none());
    }
}
