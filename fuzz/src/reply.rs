//! What a node that serves its store answers: an answer or a line, as a client reads it.

use certfleet_store::wire;

/// Takes it for an answer.
pub fn read(data: &[u8]) -> bool {
    wire::fuzz(&"certs/example.com".parse().expect("a key"), data)
}
