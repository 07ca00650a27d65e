//! Configuration and the daemon of certfleet: observe, decide, execute.
//!
//! The only crate that wires the others together. Choices are made in `core`; here they are carried out, and their results reported.

mod beats;
pub mod central;
pub mod clock;
pub mod config;
mod crash;
pub mod daemon;
pub mod disk;
pub mod executor;
pub mod fleet_key;
mod home;
pub mod identity;
pub mod keeper;
mod late_store;
pub mod logging;
pub mod membership;
pub mod memory;
mod metered;
pub mod metrics;
mod observe;
pub mod operator;
pub mod refusal;
pub mod seal;
mod servers;
pub mod snippet;
pub mod status;
pub mod token;
pub mod trust;

/// The words that commands share with what they call.
pub use certfleet_core::envelope::FORMAT;
pub use certfleet_core::{names, records, spec, time};
