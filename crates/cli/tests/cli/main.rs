//! The real binary in temporary directories: what each command prints, refuses, writes and ends with. No CA and no web server runs here; that
//! is for the end-to-end tests.

mod account;
mod check;
mod help;
mod membership;
mod node;
mod planted;
mod renew;
mod run;
mod site;
mod snippet;
mod status;
mod store;
mod wait;
