//! Good signatures that this thread has met, in development builds: the simulator's nodes stand on one thread, and all check the same ones.
//!
//! Always holds: only the very same key, message and signature are known again; what is not good is checked each time. A release build
//! knows none.

#[cfg(debug_assertions)]
use std::cell::RefCell;
#[cfg(debug_assertions)]
use std::collections::BTreeMap;

use super::keys::KEY_BYTES;

/// Bytes of a signature.
pub(super) const SIGNATURE_BYTES: usize = 64;
/// So many are known at the most; then none is.
#[cfg(debug_assertions)]
const KNOWN_MAX: usize = 4_096;

#[cfg(debug_assertions)]
type Known = BTreeMap<[u8; SIGNATURE_BYTES], ([u8; KEY_BYTES], Vec<u8>)>;

#[cfg(debug_assertions)]
thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(BTreeMap::new()) };
}

/// Whether it is known to be good, or `check` finds that it is.
#[cfg(debug_assertions)]
pub(super) fn or(key: &[u8; KEY_BYTES], message: &[u8], signature: &[u8; SIGNATURE_BYTES], check: impl FnOnce() -> bool) -> bool {
    let is_same = |(by, of): &([u8; KEY_BYTES], Vec<u8>)| by == key && of == message;
    if KNOWN.with_borrow(|known| known.get(signature).is_some_and(is_same)) {
        return true;
    }
    let is_good = check();
    if is_good {
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(*signature, (*key, message.to_vec()));
        });
    }
    is_good
}

/// Whether `check` finds that it is.
#[cfg(not(debug_assertions))]
pub(super) fn or(_: &[u8; KEY_BYTES], _: &[u8], _: &[u8; SIGNATURE_BYTES], check: impl FnOnce() -> bool) -> bool {
    check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_is_known_again() {
        let (key, signature) = ([1; KEY_BYTES], [2; SIGNATURE_BYTES]);
        assert!(!or(&key, b"text", &signature, || false), "it is not good");
        assert!(or(&key, b"text", &signature, || true));
        assert!(or(&key, b"text", &signature, || !cfg!(debug_assertions)), "it is known");
        assert!(!or(&key, b"other text", &signature, || false));
        assert!(!or(&[3; KEY_BYTES], b"text", &signature, || false));
        assert!(!or(&key, b"text", &[4; SIGNATURE_BYTES], || false));
    }
}
