//! What a process has in its memory, as its owner or root can read it (proc(5)).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use super::needles::Needles;

/// How much is read at a time, in bytes.
const CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// By how much chunks overlap, in bytes: more than the longest needle.
const OVERLAP_BYTES: u64 = 4 * 1024;

/// Which secrets stand in the memory of a process. An error if this user may not read it.
pub fn search(pid: u32, needles: &Needles) -> io::Result<BTreeSet<String>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = BTreeSet::new();
    for (from, to) in readable(pid)? {
        let mut at = from;
        while at < to {
            let mut chunk = vec![0; usize::try_from((to - at).min(CHUNK_BYTES + OVERLAP_BYTES)).expect("a chunk fits")];
            // What went away meanwhile, or is the kernel's, cannot be read.
            let read = memory.read_at(&mut chunk, at).unwrap_or(0);
            found.extend(needles.found_in(&chunk[..read]));
            at += CHUNK_BYTES;
        }
    }
    Ok(found)
}

/// The process's regions that can be read, in bytes from and to.
fn readable(pid: u32) -> io::Result<Vec<(u64, u64)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let region = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        let (from, to) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(from)?, number(to)?)).filter(|_| rights.starts_with('r'))
    };
    // The first word of `[vsyscall]` does not fit a file offset; it holds nothing of the process's.
    Ok(maps.lines().filter(|line| !line.ends_with("[vsyscall]")).filter_map(region).collect())
}
