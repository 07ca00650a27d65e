//! What a node remembers beyond its process: attempt numbers and placements it has seen, and what it answers when the store is away. All of
//! it in the state directory; the records that it took for good last are with the keeper.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use certfleet_core::mutants::{Mutant, has};
use certfleet_core::names::{CertName, Identifier};
use certfleet_core::spec::Role;
use certfleet_core::view::{Memory, View};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// What was seen of each certificate.
pub type Memories = BTreeMap<CertName, Memory>;

/// Largest memory that is read, in bytes: some million certificates.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// So many lines more than twice the certificates are kept before the file is written anew.
const LINES_SPARE: usize = 1_000;

/// As versions before the log wrote it: all in one value.
fn old_path(state: &Path) -> PathBuf {
    state.join("memory.json")
}

fn log_path(state: &Path) -> PathBuf {
    state.join("memory.log")
}

fn answers_path(state: &Path) -> PathBuf {
    state.join("answers.json")
}

/// Reads the memory of earlier lives; none yet is empty.
pub fn load(state: &Path) -> Result<Memories, DiskError> {
    let mut memories: Memories = disk::read_json(&old_path(state))?.unwrap_or_default();
    let path = log_path(state);
    let Some(bytes) = disk::read_up_to(&path, MEMORY_BYTES_MAX)? else { return Ok(memories) };
    // What follows the last end of a line was being written when the machine lost power: nothing was decided by it.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (cert, memory) = serde_json::from_slice(line).map_err(|error| disk::not_understood(&path, error))?;
        memories.insert(cert, memory);
    }
    Ok(memories)
}

/// The memory on disk: a line for each change, the last of a certificate counts; written anew once most lines are old, and by each life before
/// it adds to it. So a change costs a line, however many certificates there are.
#[derive(Debug)]
pub struct MemoryLog {
    state: PathBuf,
    file: Option<File>,
    lines: usize,
}

impl MemoryLog {
    /// That of the node with this state directory; nothing is written yet.
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), file: None, lines: 0 }
    }

    /// Keeps what is another of `changed`; on disk when this returns.
    pub fn keep(&mut self, memories: &Memories, changed: &BTreeSet<CertName>) -> Result<(), DiskError> {
        let path = log_path(&self.state);
        // Where this fails, all is written the next time.
        let file = self.file.take().filter(|_| self.lines < 2 * memories.len() + LINES_SPARE);
        let Some(mut file) = file else { return self.write_anew(&path, memories) };
        let changed = changed.iter().filter_map(|cert| memories.get_key_value(cert));
        let (text, lines) = lines_of(&path, changed)?;
        disk::has_room(&path).and_then(|()| file.write_all(&text)).and_then(|()| file.sync_data()).map_err(disk::at(&path, "written"))?;
        (self.file, self.lines) = (Some(file), self.lines + lines);
        Ok(())
    }

    fn write_anew(&mut self, path: &Path, memories: &Memories) -> Result<(), DiskError> {
        let (text, lines) = lines_of(path, memories)?;
        disk::write_private(path, &text)?;
        let _ = std::fs::remove_file(old_path(&self.state));
        let file = File::options().append(true).open(path).map_err(disk::at(path, "opened"))?;
        (self.file, self.lines) = (Some(file), lines);
        Ok(())
    }
}

fn lines_of<'a>(path: &Path, memories: impl IntoIterator<Item = (&'a CertName, &'a Memory)>) -> Result<(Vec<u8>, usize), DiskError> {
    let (mut text, mut lines) = (Vec::new(), 0);
    for line in memories {
        serde_json::to_writer(&mut text, &line).map_err(|error| disk::not_understood(path, error))?;
        text.push(b'\n');
        lines += 1;
    }
    Ok((text, lines))
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

/// What answers are made of, without going through all certificates: while it is the same, so are they.
#[derive(Debug, PartialEq, Eq)]
pub struct AnswersAt {
    is_answering: bool,
    name_changes: u64,
    thumbprint: Option<String>,
    by_name: Vec<(Identifier, String)>,
}

impl AnswersAt {
    /// What the view says.
    pub fn of(view: &View) -> Self {
        Self {
            is_answering: view.my_roles().contains(&Role::Answer),
            name_changes: view.certs.name_changes(),
            thumbprint: view.account_thumbprint().map(str::to_owned),
            by_name: view.other_thumbprints().map(|(name, thumbprint)| (name.clone(), thumbprint.to_owned())).collect(),
        }
    }
}

impl KnownAnswers {
    /// What the view says; nothing on a node without the role `answer`.
    pub fn of(view: &View) -> Self {
        if !view.my_roles().contains(&Role::Answer) || (has(Mutant::AnswerOnlyAsHolder) && !holds(view)) {
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

fn holds(view: &View) -> bool {
    let mut holders = view.certs.values().filter_map(|seen| seen.value.attempt.as_ref()?.holder.as_ref());
    holders.any(|holder| holder.incarnation == view.me.incarnation)
}

#[cfg(test)]
mod tests {
    use certfleet_core::names::Generation;

    use super::*;

    fn memory(number: u64) -> Memory {
        Memory { number: Generation(number), ..Memory::default() }
    }

    fn cert(n: usize) -> CertName {
        format!("c{n}").parse().expect("name")
    }

    /// All of it, and those that are another than at the time before.
    fn keep(log: &mut MemoryLog, memories: &mut Memories, changed: &[(usize, u64)]) {
        memories.extend(changed.iter().map(|(n, number)| (cert(*n), memory(*number))));
        log.keep(memories, &changed.iter().map(|(n, _)| cert(*n)).collect()).expect("keeps");
    }

    #[test]
    fn what_was_kept_last_counts() {
        let dir = tempfile::tempdir().expect("temporary directory");
        disk::write_json(&old_path(dir.path()), &Memories::from([(cert(1), memory(1)), (cert(2), memory(2))])).expect("writes");
        let mut memories = load(dir.path()).expect("reads");
        assert_eq!(memories.len(), 2);
        let mut log = MemoryLog::new(dir.path());
        keep(&mut log, &mut memories, &[(1, 5)]);
        keep(&mut log, &mut memories, &[(3, 1)]);
        keep(&mut log, &mut memories, &[(3, 2)]);
        assert_eq!(load(dir.path()).expect("reads"), memories);
        assert!(!old_path(dir.path()).exists());
    }

    #[test]
    fn a_line_that_was_not_written_whole_is_as_none() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (mut log, mut memories) = (MemoryLog::new(dir.path()), Memories::new());
        keep(&mut log, &mut memories, &[(1, 1)]);
        keep(&mut log, &mut memories, &[(1, 2)]);
        let path = log_path(dir.path());
        let text = std::fs::read(&path).expect("reads");
        std::fs::write(&path, &text[..text.len() - 4]).expect("writes");
        assert_eq!(load(dir.path()).expect("reads")[&cert(1)], memory(1));
        keep(&mut MemoryLog::new(dir.path()), &mut memories, &[(1, 3)]);
        assert_eq!(load(dir.path()).expect("reads")[&cert(1)], memory(3));
        std::fs::write(&path, "nonsense\n").expect("writes");
        assert!(load(dir.path()).expect_err("is told").to_string().contains("memory.log cannot be understood"));
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (mut log, mut memories) = (MemoryLog::new(dir.path()), Memories::new());
        (0..LINES_SPARE as u64 + 10).for_each(|n| keep(&mut log, &mut memories, &[(1, n)]));
        let lines = std::fs::read_to_string(log_path(dir.path())).expect("reads").lines().count();
        assert!(lines < 10, "{lines}");
        assert_eq!(load(dir.path()).expect("reads"), memories);
    }
}
