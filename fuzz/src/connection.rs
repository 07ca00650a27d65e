//! What a client sends on port 80, byte for byte.
//!
//! Also holds: what it gets is an answer of HTTP, or nothing.

use std::sync::Arc;

use certfleet_edge::{AnswerTable, fuzz};

use crate::{challenge, wait};

/// Connects. True: it was a request, and got something.
pub fn read(data: &[u8]) -> bool {
    let table = AnswerTable::default();
    table.store(Arc::new(challenge::table()));
    let reply = wait(fuzz::connection(table, data));
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&reply));
    matches!(reply.get(9..12), Some(b"200" | b"308"))
}
