//! The real binary, end to end: whole fleets of processes against pebble, nginx and HAProxy, each fleet on loopback addresses of its own.
//!
//! Always holds: every wait is for a condition, with a deadline; whatever a fleet did, its logs hold no private key and its key files are
//! nobody else's (`fleet::audit`, at the end of each).

mod account;
mod ansible;
mod attack;
mod authority;
mod challenges;
mod changes;
mod client;
mod crash;
mod fleet;
mod keys;
mod removal;
mod rollout;
mod secrets;
mod seen;
mod servers;
mod signals;
mod store;
mod stores;
mod takeover;

use std::time::Duration;

/// How long a fleet may take to come where it should; generous, since it says nothing about speed.
const LIMIT: Duration = Duration::from_secs(90);
