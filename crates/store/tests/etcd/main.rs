//! The `etcd` store on real etcd clusters, which the tests start themselves.
#![cfg(feature = "etcd")]

mod access;
mod lab;
mod lost;
mod outage;
mod suite;
mod watching;
