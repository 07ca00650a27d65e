//! Buckets that are full at first and refill steadily: the generic cell rate algorithm, by which Boulder counts.
//!
//! Always holds: of a subject one moment is kept, that at which its bucket is full again; a bucket that has been full for long is the same as one
//! that nobody has used.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much a bucket holds, and how fast it refills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many at once; at least one.
    pub burst: u32,
    /// One more after each of these.
    pub refill: Duration,
}

/// The buckets of one limit, one for each subject. Moments are measured from the world's beginning.
#[derive(Debug, Clone)]
pub struct Buckets {
    rate: Rate,
    full_at: BTreeMap<String, Duration>,
}

impl Buckets {
    /// All full.
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: BTreeMap::new() }
    }

    /// How long until something is in the bucket; zero if there is.
    pub fn wait(&self, subject: &str, now: Duration) -> Duration {
        let full_at = self.full_at.get(subject).copied().unwrap_or_default();
        // A bucket from which one less than its burst is missing still has one.
        let spare = self.rate.refill * self.rate.burst.saturating_sub(1);
        full_at.saturating_sub(now.saturating_add(spare))
    }

    /// Takes one out, if there is one.
    pub fn spend(&mut self, subject: &str, now: Duration) {
        if self.wait(subject, now).is_zero() {
            let full_at = self.full_at.entry(subject.to_owned()).or_default();
            *full_at = now.max(*full_at) + self.rate.refill;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Three at once, one more each ten seconds: by hand.
    #[test]
    fn a_burst_and_then_one_for_each_refill() {
        let mut buckets = Buckets::new(Rate { burst: 3, refill: at(10) });
        for (now, wait) in [
            // The burst. It is full again at 130 s.
            (100, 0),
            (100, 0),
            (100, 0),
            // Empty: full at 130, so the first is back at 110.
            (100, 10),
            (104, 6),
            (109, 1),
            // One, taken; full at 140.
            (110, 0),
            (110, 10),
            // Two more after twenty seconds, taken; full at 160.
            (130, 0),
            (130, 0),
            (130, 10),
            // Full long ago: the burst again, and not more.
            (500, 0),
            (500, 0),
            (500, 0),
            (500, 10),
        ] {
            assert_eq!(buckets.wait("a", at(now)), at(wait), "at {now} s");
            buckets.spend("a", at(now));
        }
    }

    #[test]
    fn who_is_refused_pays_nothing() {
        let mut buckets = Buckets::new(Rate { burst: 1, refill: at(60) });
        buckets.spend("a", at(0));
        (1..60).for_each(|now| buckets.spend("a", at(now)));
        assert_eq!(buckets.wait("a", at(59)), at(1));
        assert_eq!(buckets.wait("a", at(60)), at(0));
    }

    #[test]
    fn subjects_have_buckets_of_their_own() {
        let mut buckets = Buckets::new(Rate { burst: 1, refill: at(60) });
        buckets.spend("a", at(0));
        assert_eq!((buckets.wait("a", at(1)), buckets.wait("b", at(1))), (at(59), at(0)));
    }

    /// Let's Encrypt, 2026-08-05: 5 certificates for the same names in 7 days, one more each 33.6 hours.
    #[test]
    fn the_sixth_of_a_week_waits_for_a_day_and_a_half() {
        let (hour, refill) = (at(3600), at(7 * 24 * 3600 / 5));
        let mut buckets = Buckets::new(Rate { burst: 5, refill });
        (0..5).for_each(|node| buckets.spend("names", hour * node));
        assert_eq!(buckets.wait("names", hour * 5), refill - hour * 5);
    }
}
