//! Secrets stay where they belong: not in logs, errors, answers, the store or a core dump; on disk for their owner alone from the first byte;
//! not in the memory of who has no more use for them.
//!
//! Each test takes the secrets from where they lie, and looks for pieces of them in every form in which they could be written (`needles`).

mod dumps;
mod forgetting;
mod leaks;
mod memory;
mod modes;
mod needles;

use serde_json::Value;

use crate::fleet::Fleet;
use needles::Needles;

const BINARY: &str = env!("CARGO_BIN_EXE_certfleet");
/// The usual name.
const NAME: &str = "secret.example.com";

/// A text field of JSON.
fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name:?}"))
}

/// A node's identity, as it lies in its state directory.
fn identity(fleet: &Fleet, n: u8) -> Value {
    let text = std::fs::read(fleet.dir(n).join("state/identity.json")).expect("the identity can be read");
    serde_json::from_slice(&text).expect("the identity is JSON")
}

/// 32 bytes that are kept in base64url.
fn key_bytes(text: &str) -> Vec<u8> {
    certfleet_core::encoding::from_base64url(text).expect("base64url")
}

/// Adds a key that is kept in base64url, as it is and as it is written.
fn add_key(needles: &mut Needles, name: &str, text: &str) {
    needles.bytes(name, &key_bytes(text));
    needles.text(name, text);
}

/// The private key that node `n` serves with.
fn live_key(fleet: &Fleet, n: u8, cert: &str) -> String {
    std::fs::read_to_string(fleet.live_dir(n, cert).join("privkey.pem")).expect("the key can be read")
}

/// Says that this machine does not allow a test, or a part of one. With `CI=true` that is a failure, if it was allowed everything.
fn skipped(why: &str) {
    let is_bad = std::env::var("CI").as_deref() == Ok("true") && rustix::process::geteuid().is_root();
    assert!(!is_bad, "{why}");
    eprintln!("SKIPPED: {why}");
}
