//! Names, records and decisions of certfleet.
//!
//! Always holds: nothing here does I/O, reads a clock, draws randomness, looks at the environment or waits. What would need that is an
//! argument. The same view gives the same plan.
//!
//! Deliberately not here: the store, the CA's protocol, files, sockets, configuration files, log lines.

pub mod ca;
pub mod decide;
pub mod encoding;
pub mod envelope;
pub mod hash;
pub mod invariants;
pub mod key;
pub mod mutants;
pub mod names;
pub mod rank;
pub mod records;
#[cfg(test)]
mod samples;
pub mod secret;
pub mod spec;
pub mod time;
pub mod trust;
pub mod view;
pub mod x509;
