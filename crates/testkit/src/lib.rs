//! Starts real servers for certfleet's tests: each test owns private instances on loopback, and they end with it.
//!
//! Deliberately not here: fakes. A server that is not installed is a loud skip, and a failure when `CI=true` (see [`installed`]).

pub mod addresses;
pub mod admin;
pub mod disk;
pub mod etcd;
pub mod haproxy;
pub mod moto;
pub mod nginx;
pub mod pebble;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;

pub use addresses::{Site, free_port};
pub use process::{Process, eventually, installed};
