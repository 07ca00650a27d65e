//! What reads bytes from outside, one module for each: its `read` takes anything, and says whether it was taken for what it should be.
//!
//! Always holds: nothing that is read makes a panic, whoever wrote it; and what is read twice is read alike, so that a failure can be repeated.
//! Each module says what else must hold. The seeds of `corpus/` are made by `examples/seeds.rs`, and are all taken.
//!
//! Deliberately not here: what takes long on large input (a test beside the reader), and what reads no bytes from outside.

pub mod backup;
pub mod ca_answer;
pub mod certificate;
pub mod challenge;
pub mod configuration;
pub mod connection;
pub mod engine;
pub mod fleet;
pub mod private_key;
pub mod question;
pub mod record;
pub mod reply;
pub mod request;
pub mod store_url;
pub mod token;
pub mod view;

use std::future::Future;

/// Every target by its name.
pub const TARGETS: [(&str, fn(&[u8]) -> bool); 15] = [
    ("backup", backup::read),
    ("ca_answer", ca_answer::read),
    ("certificate", certificate::read),
    ("challenge", challenge::read),
    ("configuration", configuration::read),
    ("connection", connection::read),
    ("engine", engine::read),
    ("private_key", private_key::read),
    ("question", question::read),
    ("record", record::read),
    ("reply", reply::read),
    ("request", request::read),
    ("store_url", store_url::read),
    ("token", token::read),
    ("view", view::read),
];

/// Waits for it on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a run time without sockets").block_on(future)
}

/// The first line, and what follows it.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}
