//! The `postgres` engine against real servers, which the tests start and end.
#![cfg(feature = "postgres")]

mod by_hand;
mod conformance;
mod faults;
mod lost;
mod opening;
mod outages;
mod server;
mod tls;
