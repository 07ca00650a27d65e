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
pub mod variant;
pub mod watch;
pub mod world;

pub use scenario::{Cast, Report};
pub use variant::Variant;

/// Runs a seed to its end, on this thread.
pub fn run(seed: u64) -> Report {
    run_variant(seed, &Variant::default())
}

/// Runs a seed's world, or another variant of it.
pub fn run_variant(seed: u64, variant: &Variant) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let (runtime, mut nonces) = (runtime.expect("a run time without sockets"), draw::Draw::new(seed).fork("nonces"));
    certfleet_store::with_nonces(move |bytes| nonces.fill(bytes), || runtime.block_on(scenario::run(seed, variant)))
}
