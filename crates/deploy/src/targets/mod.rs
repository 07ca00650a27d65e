//! The kinds. Each has a `KIND`, a `Config`, and a backend for the driver; a new one is written by copying the smallest.

pub mod files;
pub mod haproxy;
pub mod nginx;

pub(crate) mod layout;
