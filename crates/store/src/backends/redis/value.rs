//! How a value stands in Redis, and what names it.
//!
//! A key is a hash with the fields `revision`, a number from the store's one counter, and `value`, an envelope. A [`Revision`]'s engine part
//! is that number and a digest over the nonce and the bytes: so a compare-and-swap names the very bytes, whoever wrote them, also where
//! numbers repeat because a failover lost the last of them.
//!
//! Deliberately not here: security. SHA-1 is what Lua has in Redis; who could make two values collide could as well write the store.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Nonce, Revision};
use certfleet_core::key::Key;

use crate::contract::Stored;
use crate::error::StoreError;
use crate::revision::garbage_revision;

/// How much of a value is read: enough to see that it is too large.
pub(super) const READ_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 1;

/// What is there, as it was read.
#[derive(Debug)]
pub(super) struct Raw {
    /// The field `revision`.
    pub(super) number: String,
    /// Bytes that the whole value has.
    pub(super) length: u64,
    /// Its first [`READ_BYTES_MAX`].
    pub(super) bytes: Vec<u8>,
}

impl Raw {
    /// What [`Store::get`](crate::Store::get) says of it.
    pub(super) fn answer(self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match Envelope::from_bytes(&self.bytes) {
            Ok(envelope) => {
                let revision = envelope.revision(self.engine(&envelope.nonce));
                Ok(Some(Stored { envelope, revision }))
            }
            Err(error) => {
                let revision = garbage_revision("", &self.bytes, self.length);
                let engine = self.engine(&revision.nonce);
                Err(StoreError::Corrupt { key: key.clone(), why: format!("it is {error}"), revision: Revision { engine, ..revision } })
            }
        }
    }

    fn engine(&self, nonce: &Nonce) -> String {
        engine(&self.number, nonce, self.length, &self.bytes)
    }
}

/// The engine's part of a revision.
pub(super) fn engine(number: &str, nonce: &Nonce, length: u64, bytes: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(format!("{}\n{length}\n", nonce.as_str()).as_bytes());
    sha1.update(bytes.get(..READ_BYTES_MAX).unwrap_or(bytes));
    format!("{number}.{}", sha1.digest())
}

/// The number and the digest of an engine's part; what is none fits nothing.
pub(super) fn parts(engine: &str) -> (&str, &str) {
    engine.rsplit_once('.').unwrap_or((engine, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_name_number_nonce_and_bytes() {
        let nonce = |n| Nonce::from_random([n; 16]);
        let of = |number, n, length, bytes: &[u8]| engine(number, &nonce(n), length, bytes);
        let one = of("7", 1, 1, b"x");
        for other in [of("8", 1, 1, b"x"), of("7", 2, 1, b"x"), of("7", 1, 2, b"x"), of("7", 1, 1, b"y")] {
            assert_ne!(one, other);
        }
        assert_eq!(parts(&one).0, "7");
        assert_eq!((parts("7"), parts("a.b.c")), (("7", ""), ("a.b", "c")));
    }
}
