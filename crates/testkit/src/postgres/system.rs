//! What a PostgreSQL needs of the system: its programs, and a user who is not root.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::installed;

/// Where Debian has the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Whom the server runs as, where the tests run as root.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// `postgres` where there is one, else `nobody`.
    pub(super) fn unprivileged() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").expect("there are users");
        let of = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2).map(str::parse);
            Some(Self { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
        };
        of("postgres").or_else(|| of("nobody")).expect("there is a user `nobody`")
    }
}

/// The newest version's programs.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut found: Vec<PathBuf> = versions.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    found.pop().or_else(|| Some(installed("initdb", "postgresql")?.parent()?.to_owned()))
}

pub(super) fn run(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let printed = || format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {}", printed());
}
