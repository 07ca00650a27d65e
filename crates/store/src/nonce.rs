//! Nonces from the operating system's randomness; in a simulation, from its own.

use certfleet_core::envelope::Nonce;

use crate::error::StoreError;

const NONCE_BYTES: usize = 16;

/// A nonce that no value ever had.
pub fn fresh_nonce() -> Result<Nonce, StoreError> {
    #[cfg(feature = "simulation")]
    if let Some(nonce) = simulation::next() {
        return Ok(nonce);
    }
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Away { why: format!("the operating system gives no random bytes: {e}") })?;
    Ok(Nonce::from_random(bytes))
}

#[cfg(feature = "simulation")]
mod simulation {
    use std::cell::RefCell;

    use super::{NONCE_BYTES, Nonce};

    type Draw = Box<dyn FnMut(&mut [u8])>;

    thread_local! {
        static DRAW: RefCell<Option<Draw>> = const { RefCell::new(None) };
    }

    /// Of two values that were written over one, the nonce decides: a simulation that is to repeat itself draws this thread's nonces while `run`
    /// lasts.
    pub fn with_nonces<T>(draw: impl FnMut(&mut [u8]) + 'static, run: impl FnOnce() -> T) -> T {
        let _back = Back(DRAW.replace(Some(Box::new(draw))));
        run()
    }

    pub(super) fn next() -> Option<Nonce> {
        let mut bytes = [0; NONCE_BYTES];
        DRAW.with_borrow_mut(|draw| draw.as_mut().map(|draw| draw(&mut bytes)))?;
        Some(Nonce::from_random(bytes))
    }

    /// What was there before, also if `run` panics.
    struct Back(Option<Draw>);

    impl Drop for Back {
        fn drop(&mut self) {
            DRAW.set(self.0.take());
        }
    }

    #[test]
    fn a_simulation_draws_the_same_nonces_twice() {
        let draw = || {
            let mut number = 0;
            move |bytes: &mut [u8]| {
                number += 1;
                bytes.fill(number);
            }
        };
        let two = || with_nonces(draw(), || [next(), next()]);
        assert_eq!(two(), two());
        assert_ne!(two()[0], two()[1]);
        assert_eq!(next(), None, "outside of it they are the operating system's");
    }
}

#[cfg(feature = "simulation")]
pub use simulation::with_nonces;
