//! No core dumps: this process holds private keys, and a dump is a file that nobody wipes.
//!
//! Always holds: it is done before the arguments are read, so before there is a secret. It takes two means: the limit is what the kernel goes
//! by where it writes the file itself, and what programs started from here inherit; where it pipes dumps to a collector (core(5)), it goes by
//! the process being dumpable. That also keeps other processes of the same user from attaching (ptrace(2)) and from reading `/proc/PID/mem`.
//!
//! Deliberately not here: locked memory (mlock(2)); who has swap on a disk encrypts it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::out;

/// From now on nothing makes a dump of this process. Where the system does not allow that, a warning; the command goes on.
pub fn forbid() {
    if let Err(error) = forbidden() {
        out::talk(&format!(
            "warning: core dumps of this process cannot be forbidden: {error}; forbid them where it is started (`ulimit -c 0`)"
        ));
    }
}

fn forbidden() -> io::Result<()> {
    let limit = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // Both are tried, whatever comes of the first.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(limit?)
}
