//! The one source of chance: everything that happens in a world is drawn from its seed.
//!
//! Deliberately not here: cryptography. Keys drawn from it are for simulated fleets alone.

/// Numbers drawn from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for `what`, whatever is drawn from this one later.
    pub fn fork(&self, what: &str) -> Self {
        Self(certfleet_core::hash::draw(&[&self.0.to_string(), what]))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    /// True in so many of a thousand cases.
    pub fn once_in_a_thousand(&mut self, times: u64) -> bool {
        self.number() % 1000 < times
    }

    /// One of several; there must be some.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.between(0, of.len() as u64 - 1)).expect("an index")]
    }

    /// Fills a buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same() {
        let drawn = |seed| {
            let mut draw = Draw::new(seed);
            let forked = draw.fork("x").number();
            (draw.number(), draw.between(3, 5), forked)
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let mut draw = Draw::new(1);
        assert!((0..1000).all(|_| (3..=5).contains(&draw.between(3, 5))));
        assert!((0..1000).any(|_| draw.once_in_a_thousand(5)) && !draw.once_in_a_thousand(0));
    }
}
