//! What revisions say: which value they name, also one that is no envelope.
//!
//! Always holds: `change` is never compared. It is carried for whoever writes next, who may know of a higher one than the value has.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Expect, Nonce, Revision};
use certfleet_core::hash::sha256_hex;

/// Hex digits of a hash that make a nonce.
const NONCE_DIGITS: usize = 32;

/// Whether both name the same value.
pub fn same_value(one: &Revision, other: &Revision) -> bool {
    (&one.engine, &one.nonce) == (&other.engine, &other.nonce)
}

/// Whether a write that expects `expect` may take place where `there` is; `None`: nothing.
pub fn is_expected(there: Option<&Revision>, expect: &Expect) -> bool {
    match (there, expect) {
        (None, Expect::Absent) => true,
        (Some(there), Expect::Revision(expected)) => same_value(there, expected),
        _ => false,
    }
}

/// The revision of bytes that are no envelope, so that they can be named and replaced. Its nonce is drawn from the bytes, on every engine alike.
///
/// Of values that are too large to be read `bytes` may be any beginning longer than [`ENVELOPE_BYTES_MAX`]; `length` is that of the whole value.
pub fn garbage_revision(engine: impl Into<String>, bytes: &[u8], length: u64) -> Revision {
    let hash = match bytes.get(..ENVELOPE_BYTES_MAX) {
        Some(beginning) if bytes.len() > ENVELOPE_BYTES_MAX => sha256_hex(&[beginning, &length.to_be_bytes()].concat()),
        _ => sha256_hex(bytes),
    };
    let digits = u128::from_str_radix(&hash[..NONCE_DIGITS], 16).expect("a hash in hex has 64 hex digits");
    Revision { engine: engine.into(), nonce: Nonce::from_random(digits.to_be_bytes()), change: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_named_by_its_bytes() {
        let of = |bytes: &[u8]| garbage_revision("7", bytes, bytes.len() as u64);
        // SHA-256 of nothing (FIPS 180-4) begins so.
        assert_eq!(of(b"").nonce.as_str(), "e3b0c44298fc1c149afbf4c8996fb924");
        assert_eq!((of(b"{").engine.as_str(), of(b"{").change), ("7", 0));
        assert_ne!(of(b"{"), of(b"}"));
        assert_eq!(of(b"{"), of(b"{"));
    }

    #[test]
    fn garbage_that_is_too_large_is_named_by_its_beginning_and_its_length() {
        let named = |read: usize, length: u64| garbage_revision("1", &vec![b'x'; read], length);
        let (most, length) = (ENVELOPE_BYTES_MAX, ENVELOPE_BYTES_MAX as u64 + 9);
        assert_eq!(named(most + 1, length), named(most + 9, length), "however much of it was read");
        assert_ne!(named(most + 1, length), named(most + 1, length + 1));
        assert_ne!(named(most + 1, length), garbage_revision("1", &vec![b'y'; most + 1], length));
        assert_ne!(named(most + 1, length), named(most, most as u64));
    }

    #[test]
    fn change_is_not_compared() {
        let one = garbage_revision("1", b"", 0);
        let higher = Revision { change: 9, ..one.clone() };
        assert!(same_value(&one, &higher) && is_expected(Some(&one), &Expect::Revision(higher)));
        assert!(!same_value(&one, &Revision { engine: "2".into(), ..one.clone() }));
        assert!(!same_value(&one, &garbage_revision("1", b"x", 1)));
        assert!(
            !is_expected(Some(&one), &Expect::Absent) && !is_expected(None, &Expect::Revision(one)) && is_expected(None, &Expect::Absent)
        );
    }
}
