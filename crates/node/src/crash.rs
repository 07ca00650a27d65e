//! Named crash points: a development build kills itself, as `kill -9` would, at the point that `CERTFLEET_CRASH_AT` names.
//!
//! Release builds have none of this.

/// Dies here if this is the named point.
#[cfg(debug_assertions)]
pub fn point(when: &str, what: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    let Ok(wanted) = std::env::var("CERTFLEET_CRASH_AT") else { return };
    if wanted == format!("{when}-{what}") {
        tracing::warn!(event = "crash", point = %wanted, "crashing as CERTFLEET_CRASH_AT asks");
        let _ = kill_process(getpid(), Signal::KILL);
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub fn point(_when: &str, _what: &str) {}
