//! Whole fleets on simulated time: the daemon's own loop, `decide` and executor, over a simulated store, CA, network, clock and servers.
//!
//! Always holds: a world comes from its seed alone, so the same seed tells the same history byte for byte. After every event the checkers of
//! [`watch`] look; when the faults stop, the fleet must come to rest within [`scenario::REST_HOURS_MAX`] simulated hours.
//!
//! Deliberately not here: the choices (`core`), and how real engines, CAs and servers behave; the fakes pass the same suites as those do.

pub mod ca;
pub mod clock;
pub mod draw;
pub mod engine;
pub mod faults;
pub mod fleet;
pub mod gate;
pub mod history;
pub mod keys;
pub mod less;
pub mod link;
pub mod machine;
pub mod mutants;
pub mod operator;
mod rest;
pub mod scale;
pub mod scenario;
pub mod servers;
pub mod shape;
pub mod shrink;
mod twins;
pub mod watch;
pub mod world;

pub use less::Less;
pub use scenario::{Cast, Report};

/// Runs a seed to its end, on this thread.
pub fn run(seed: u64) -> Report {
    run_less(seed, &Less::default())
}

/// Runs a seed with something left out.
pub fn run_less(seed: u64, less: &Less) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a run time without sockets").block_on(scenario::run(seed, less))
}
