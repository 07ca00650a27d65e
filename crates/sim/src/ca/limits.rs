//! What the CA grants, as Let's Encrypt does (<https://letsencrypt.org/docs/rate-limits/>, as of 2026-08-05).
//!
//! Always holds: an order is refused before anything is made of it, and a refused one pays for nothing. As with Boulder, orders are paid for
//! when they are placed, an order that is handed out again like any other; certificates when they are issued; failed validations when they fail.
//! A certificate for names that had one already is a renewal, and free of the limits of accounts and domains.
//!
//! Deliberately not here: the exemption of renewals through ARI, and `alreadyReplaced`: they need `replaces`, which nobody sends yet; pausing
//! after a thousand failures; requests per second.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use certfleet_core::ca::{CaError, Problem};
use certfleet_core::names::Identifier;

use super::gcra::{Buckets, Rate};
use crate::draw::Draw;

/// What the real CA's certificates last; the simulated ones are so much shorter, and with them its refills.
const REAL_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// How much more the strict limits grant than a fleet needs that renews when half of a lifetime is left.
const SLACK: u32 = 2;
/// The shortest wait that is asked for.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// New orders of an account.
    Orders,
    /// Certificates for a registered domain.
    Domain,
    /// Certificates for the same set of identifiers.
    Duplicates,
    /// Failed validations of an identifier by an account.
    Failures,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "new orders",
            Self::Domain => "certificates of a domain",
            Self::Duplicates => "duplicates",
            Self::Failures => "failed validations",
        })
    }
}

/// Which limits there are in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grants {
    /// Everything.
    All,
    /// What the real CA grants, in the time of certificates that last so long.
    Scaled(Duration),
    /// Small bursts, and twice what so many nodes need that want certificates of this lifetime.
    Strict(Duration, u32),
}

impl Grants {
    /// Of a world's seed.
    pub fn drawn(draw: &Draw, lifetime: Duration, nodes: u64) -> Self {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
        match draw.fork("limits").between(0, 3) {
            0 => Self::All,
            1 => Self::Scaled(lifetime),
            _ => Self::Strict(lifetime, nodes),
        }
    }

    fn rates(self) -> Option<[(Limit, Rate); 4]> {
        let rate = |burst, refill| Rate { burst, refill };
        match self {
            Self::All => None,
            Self::Scaled(lifetime) => {
                let seconds = |seconds: f64| Duration::from_secs_f64(seconds * lifetime.as_secs_f64() / REAL_LIFETIME.as_secs_f64());
                Some([
                    (Limit::Orders, rate(300, seconds(36.0))),
                    (Limit::Domain, rate(50, seconds(7.0 * 86_400.0 / 50.0))),
                    (Limit::Duplicates, rate(5, seconds(7.0 * 86_400.0 / 5.0))),
                    (Limit::Failures, rate(5, seconds(720.0))),
                ])
            }
            Self::Strict(lifetime, nodes) => {
                // Where each node has a key of its own, each renews once in half a lifetime.
                let needed = lifetime / 2 / nodes.max(1) / SLACK;
                Some([
                    (Limit::Orders, rate(4, needed / 16)),
                    (Limit::Domain, rate(3, needed)),
                    (Limit::Duplicates, rate(2, needed)),
                    // Not scaled: neither are the backoffs that it is made for.
                    (Limit::Failures, rate(2, Duration::from_secs(720))),
                ])
            }
        }
    }
}

/// The books of all limits.
#[derive(Debug)]
pub(crate) struct Limits {
    buckets: Vec<(Limit, Buckets)>,
    /// Sets of names that have had a certificate.
    known: BTreeSet<Vec<Identifier>>,
}

/// An order that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub limit: Limit,
    pub subject: String,
    pub wait: Duration,
}

impl Limits {
    pub fn new(grants: Grants) -> Self {
        let buckets = grants.rates().into_iter().flatten().map(|(limit, rate)| (limit, Buckets::new(rate)));
        Self { buckets: buckets.collect(), known: BTreeSet::new() }
    }

    /// Pays for a new order, or says what stands against it: what has to be waited for longest. The names must be sorted.
    pub fn order(&mut self, account: &str, names: &[Identifier], now: Duration) -> Result<(), Refusal> {
        let subjects = self.subjects(account, names);
        let waits = subjects.into_iter().filter_map(|(limit, subject)| {
            let wait = self.of(limit)?.wait(&subject, now);
            (!wait.is_zero()).then(|| Refusal { limit, subject, wait: wait.max(RETRY_AFTER_MIN) })
        });
        if let Some(refusal) = waits.max_by_key(|refusal| refusal.wait) {
            return Err(refusal);
        }
        if !self.known.contains(names) {
            self.spend(Limit::Orders, account, now);
        }
        Ok(())
    }

    /// What an order needs to be granted.
    fn subjects(&self, account: &str, names: &[Identifier]) -> Vec<(Limit, String)> {
        let mut all = vec![(Limit::Duplicates, set(names))];
        all.extend(names.iter().map(|name| (Limit::Failures, failing(account, name))));
        if !self.known.contains(names) {
            all.push((Limit::Orders, account.to_owned()));
            all.extend(domains(names).into_iter().map(|domain| (Limit::Domain, domain)));
        }
        all
    }

    /// These names have had a certificate long ago.
    pub fn had(&mut self, names: &[Identifier]) {
        self.known.insert(names.to_vec());
    }

    /// A certificate was issued.
    pub fn issued(&mut self, names: &[Identifier], now: Duration) {
        self.spend(Limit::Duplicates, &set(names), now);
        if self.known.insert(names.to_vec()) {
            domains(names).iter().for_each(|domain| self.spend(Limit::Domain, domain, now));
        }
    }

    /// A validation failed.
    pub fn failed(&mut self, account: &str, name: &Identifier, now: Duration) {
        self.spend(Limit::Failures, &failing(account, name), now);
    }

    fn spend(&mut self, limit: Limit, subject: &str, now: Duration) {
        if let Some((_, buckets)) = self.buckets.iter_mut().find(|(one, _)| *one == limit) {
            buckets.spend(subject, now);
        }
    }

    fn of(&self, limit: Limit) -> Option<&Buckets> {
        self.buckets.iter().find(|(one, _)| *one == limit).map(|(_, buckets)| buckets)
    }
}

impl From<Refusal> for CaError {
    fn from(Refusal { limit, subject, wait }: Refusal) -> Self {
        let detail = format!("too many {limit} for {subject}, retry after {} s", wait.as_secs());
        Self::Busy { problem: Problem::new("rateLimited", &detail, Some(429)), retry_after: Some(wait) }
    }
}

fn set(names: &[Identifier]) -> String {
    names.iter().map(Identifier::as_str).collect::<Vec<_>>().join(",")
}

fn failing(account: &str, name: &Identifier) -> String {
    format!("{name} of {account}")
}

/// The registered domains of names: the last two labels, since the public suffixes of simulated worlds have one.
fn domains(names: &[Identifier]) -> BTreeSet<String> {
    let last_two = |name: &Identifier| {
        let labels: Vec<&str> = name.as_str().rsplitn(3, '.').take(2).collect();
        labels.into_iter().rev().collect::<Vec<_>>().join(".")
    };
    names.iter().map(last_two).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn names(texts: &[&str]) -> Vec<Identifier> {
        texts.iter().map(|text| text.parse().expect("a name")).collect()
    }

    fn refused(limits: &mut Limits, names: &[Identifier], now: Duration) -> Option<(Limit, Duration)> {
        limits.order("a", names, now).err().map(|refusal| (refusal.limit, refusal.wait))
    }

    /// Eight hours instead of ninety days are 1/270: of 33.6 hours, 448 s are left.
    #[test]
    fn scaled_limits_are_those_of_the_real_ca_in_shorter_time() {
        let (mut limits, www) = (Limits::new(Grants::Scaled(8 * HOUR)), names(&["www.a.example"]));
        for _ in 0..5 {
            assert_eq!(refused(&mut limits, &www, HOUR), None);
            limits.issued(&www, HOUR);
        }
        assert_eq!(refused(&mut limits, &www, HOUR), Some((Limit::Duplicates, Duration::from_secs(448))));
        assert_eq!(refused(&mut limits, &names(&["a.example"]), HOUR), None, "other names of the same domain");
        assert_eq!(refused(&mut limits, &www, HOUR + Duration::from_secs(448)), None);
    }

    /// Of four nodes and eight hours: one certificate more each half hour, one order more each 112.5 s.
    #[test]
    fn new_names_are_paid_for_and_renewals_are_not() {
        let mut limits = Limits::new(Grants::Strict(8 * HOUR, 4));
        for (n, wait) in [(1, None), (2, None), (3, None), (4, Some((Limit::Domain, HOUR / 2)))] {
            let fresh = names(&[&format!("n{n}.a.example")]);
            assert_eq!(refused(&mut limits, &fresh, HOUR), wait, "{n}");
            if wait.is_none() {
                limits.issued(&fresh, HOUR);
            }
        }
        let elsewhere = names(&["b.example", "n1.b.example"]);
        assert_eq!(refused(&mut limits, &elsewhere, HOUR), None, "the fourth order, of another domain");
        assert_eq!(refused(&mut limits, &elsewhere, HOUR), Some((Limit::Orders, Duration::from_millis(112_500))), "handed out again");
        assert_eq!(refused(&mut limits, &names(&["n1.a.example"]), HOUR), None, "names that have had a certificate");
        assert!(limits.order("another account", &elsewhere, HOUR).is_ok());
    }

    #[test]
    fn failed_validations_keep_later_orders_out() {
        let (mut limits, both) = (Limits::new(Grants::Strict(8 * HOUR, 1)), names(&["a.example", "b.example"]));
        limits.failed("a", &both[1], HOUR);
        assert_eq!(refused(&mut limits, &both, HOUR), None);
        limits.failed("a", &both[1], HOUR);
        assert_eq!(refused(&mut limits, &both, HOUR), Some((Limit::Failures, HOUR / 5)));
        assert_eq!(refused(&mut limits, &both[..1], HOUR), None, "the other name has not failed");
        assert!(limits.order("another account", &both, HOUR).is_ok());
    }

    #[test]
    fn all_is_granted_where_there_are_no_limits() {
        let (mut limits, one) = (Limits::new(Grants::All), names(&["a.example"]));
        for _ in 0..1000 {
            limits.issued(&one, HOUR);
            limits.failed("a", &one[0], HOUR);
            assert_eq!(refused(&mut limits, &one, HOUR), None);
        }
    }

    #[test]
    fn registered_domains_have_two_labels() {
        let texts = names(&["a.example", "www.a.example", "x.y.b.example", "*.c.example"]);
        assert_eq!(domains(&texts).into_iter().collect::<Vec<_>>(), ["a.example", "b.example", "c.example"]);
    }
}
