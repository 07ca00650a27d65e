//! Named crash points: a development build kills itself, as `kill -9` would, at the point that `CERTFLEET_CRASH_AT` names. Or what it does there
//! waits, so that something can be done to the world around it at that very moment: where the file that `CERTFLEET_STOP_AT` names holds the
//! point. The first node that comes there takes that file away, leaves its process id in one beside it (`.standing`), and goes on when that
//! is gone.
//!
//! Release builds have none of this.

#[cfg(debug_assertions)]
use std::{fs, thread::sleep, time::Duration};

/// Dies or stands still here if this is the named point.
#[cfg(debug_assertions)]
pub fn point(when: &str, what: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    let here = format!("{when}-{what}");
    if std::env::var("CERTFLEET_CRASH_AT").is_ok_and(|wanted| wanted == here) {
        tracing::warn!(event = "crash", point = %here, "crashing as CERTFLEET_CRASH_AT asks");
        let _ = kill_process(getpid(), Signal::KILL);
        sleep(Duration::from_secs(60));
    }
    stand_still(&here);
}

#[cfg(debug_assertions)]
fn stand_still(here: &str) {
    let Some(file) = std::env::var_os("CERTFLEET_STOP_AT").map(std::path::PathBuf::from) else { return };
    let is_here = fs::read_to_string(&file).is_ok_and(|wanted| wanted == here);
    if !is_here || fs::remove_file(&file).is_err() {
        return;
    }
    tracing::warn!(event = "standing-still", point = %here, "standing still as CERTFLEET_STOP_AT asks");
    let standing = file.with_extension("standing");
    let _ = fs::write(&standing, std::process::id().to_string());
    while standing.exists() {
        sleep(Duration::from_millis(5));
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub fn point(_when: &str, _what: &str) {}
