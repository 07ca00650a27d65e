//! Tokens, as `join` takes them.
//!
//! Also holds: what is taken for a token is written as it was read, and is kept from being shown.

use certfleet_node::token::{Token, only_node, stands_in};

/// Takes it for a token.
pub fn read(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let stands = stands_in(text);
    let Ok(token) = Token::decode(text) else { return false };
    assert!(stands, "a token that may be shown");
    assert_eq!(Token::decode(&token.encode()).as_ref(), Ok(&token));
    let grant = token.grant().expect("what was decoded was verified");
    let _ = only_node(&grant);
    true
}
