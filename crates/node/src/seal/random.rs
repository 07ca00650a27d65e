//! Randomness for HPKE, straight from the operating system.
//!
//! Always holds: what was made while the operating system refused is dropped, never returned. Deliberately not here: a generator.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct RandomError(getrandom::Error);

/// What `make` made, unless it was given no randomness on the way: then what it made is dropped.
pub(super) fn with_random<T>(make: impl FnOnce(&mut SystemRandom) -> T) -> Result<T, RandomError> {
    let mut random = SystemRandom::default();
    let made = make(&mut random);
    random.failed.map_or(Ok(made), |why| Err(RandomError(why)))
}

/// The operating system's randomness for an interface that cannot say that there is none: the failure is kept for [`with_random`].
#[derive(Default)]
pub(super) struct SystemRandom {
    failed: Option<getrandom::Error>,
}

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        if let Err(why) = getrandom::fill(bytes) {
            self.failed = Some(why);
        }
        Ok(())
    }
}

impl TryCryptoRng for SystemRandom {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_without_randomness_is_thrown_away() {
        let made = with_random(|random| random.failed = Some(getrandom::Error::UNEXPECTED));
        assert!(matches!(made, Err(RandomError(why)) if why == getrandom::Error::UNEXPECTED));
        let mut random = SystemRandom::default();
        let drawn: [Result<u64, Infallible>; 3] = std::array::from_fn(|_| random.try_next_u64());
        assert!(drawn[0] != drawn[1] && drawn[1] != drawn[2] && random.try_next_u32() != random.try_next_u32());
    }
}
