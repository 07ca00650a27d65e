//! How often a fleet ran into a limit of its CA. Counted today.
//!
//! This is the one place where "no rate limit is exceeded" (DESIGN section 10) becomes an invariant: the ledger of `limits/` will let a fleet know
//! what it may order before it asks. From then on [`Limits::refused`] gives a violation, but where the ledger could not know: another fleet with
//! the same domain, a store that lost what was written, or a limit that the configuration does not name.

use std::collections::BTreeMap;

use crate::ca::Limit;

/// What was refused so far.
#[derive(Debug, Default)]
pub struct Limits {
    counts: BTreeMap<Limit, usize>,
}

impl Limits {
    /// The CA refused an order because of a limit.
    pub fn refused(&mut self, limit: Limit) {
        *self.counts.entry(limit).or_default() += 1;
    }

    /// How often, by limit.
    pub fn counts(&self) -> &BTreeMap<Limit, usize> {
        &self.counts
    }
}
