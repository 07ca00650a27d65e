//! A machine that was copied, disk and all: two processes under one node's name, with the same identity.

use std::path::Path;

use certfleet_core::key::Key;
use certfleet_core::names::NodeName;
use certfleet_node::keeper::Keeper;

use super::{CONFIGURATION, Machine};

/// By so much the lives of a copy that takes its original's place are numbered higher.
const LIVES: u64 = 1_000_000;

impl Machine {
    /// A copy as `who`, with another disk, which has the same on it; it does not run.
    pub fn copied(&self, who: NodeName, dir: &Path) -> Self {
        copy_all(&self.dir, dir).expect("the disk can be read and written");
        let text = std::fs::read_to_string(self.dir.join(CONFIGURATION)).expect("the disk can be read");
        let mut copy = Self::new(self.node.clone(), dir, &self.site, self.draw.fork("copy"));
        copy.configure(&text.replace(&self.dir.display().to_string(), &dir.display().to_string()));
        (copy.who, copy.servers) = (who, self.servers.copy().into());
        (copy.standing, copy.disks, copy.is_shut_in) = (self.standing, self.disks, self.is_shut_in);
        copy
    }

    /// It goes on in place of the machine that it was copied from.
    pub fn in_place_of(mut self, original: &Self) -> Self {
        (self.who, self.lives) = (original.who.clone(), original.lives + LIVES);
        (self.standing, self.is_grounded, self.is_deaf) = (original.standing, original.is_grounded, original.is_deaf);
        self
    }

    /// The private keys on its disk.
    pub fn keys(&self) -> Vec<Key> {
        Keeper::new(&self.state()).all("").into_iter().map(|(key, _)| key).filter(|key| key.is_under("keys")).collect()
    }
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (entry, kind) = entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind)))?;
        match kind.is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name()))?,
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name()))?),
        }
    }
    Ok(())
}
