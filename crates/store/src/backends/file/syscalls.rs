//! The few calls that soundness hangs on, behind a seam, so that tests can lose their answers, delay them and see their order.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// The calls of one write, in the order in which they are made.
pub(crate) trait Calls: Send + Sync + fmt::Debug {
    /// Makes a file's data durable.
    fn sync_file(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_all()
    }

    /// Gives a file a further name; fails if the name is taken. Atomic, on NFS too.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    /// Between listing a key's directory and opening what was listed.
    fn listed(&self, _dir: &Path) {}

    /// Makes a directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// The real ones.
#[derive(Debug)]
pub(crate) struct RealCalls;

impl Calls for RealCalls {}
