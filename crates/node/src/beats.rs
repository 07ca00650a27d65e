//! Which changes of presences are not worth reading: a node that rests beats once a minute, and each of the others would read that, so that a
//! fleet at rest would put the square of its size in requests on its engine.
//!
//! Always holds: only a change that was told just when a beat was due is taken for one unread, and every [`UNREAD_MAX`] of them one is read; so
//! that what a node says of itself then, of all moments, is known some minutes late, and never later. Whoever judges a holder reads its
//! presence first, so nothing is decided by what was taken for a beat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::decide::BEAT_IDLE_MS;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use tokio::time::Instant;

/// How far from its moment a beat may be told.
const TOLERANCE_MS: u64 = 1_500;
/// How many beats of a node in a row are not read.
const UNREAD_MAX: u32 = 9;

/// When each presence changed last, as far as was told.
#[derive(Debug, Default)]
pub struct Beats {
    heard: BTreeMap<Key, Heard>,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    unread: u32,
}

impl Beats {
    /// Of what changed: the nodes that did nothing but beat, as far as can be told without reading, and what is to be read.
    pub fn apart(&mut self, keys: BTreeSet<Key>, now: Instant) -> (Vec<NodeName>, BTreeSet<Key>) {
        let (mut beating, mut news) = (Vec::new(), BTreeSet::new());
        for key in keys {
            match self.unread(&key, now) {
                Some(node) => beating.push(node),
                None => drop(news.insert(key)),
            }
        }
        (beating, news)
    }

    fn unread(&mut self, key: &Key, now: Instant) -> Option<NodeName> {
        let Some(RecordKey::Presence(node)) = RecordKey::of(key) else { return None };
        let heard = self.heard.entry(key.clone()).or_insert(Heard { at: now, unread: 0 });
        let due = heard.at + Duration::from_millis(BEAT_IDLE_MS);
        let off = now.saturating_duration_since(due).max(due.saturating_duration_since(now));
        let is_beat = off <= Duration::from_millis(TOLERANCE_MS) && heard.unread < UNREAD_MAX;
        *heard = Heard { at: now, unread: if is_beat { heard.unread + 1 } else { 0 } };
        is_beat.then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_millis(BEAT_IDLE_MS);

    fn key() -> Key {
        "presence/lb0".parse().expect("a key")
    }

    #[test]
    fn beats_that_come_when_they_are_due_are_read_now_and_then() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let read: Vec<u32> = (0..25).filter(|n| beats.unread(&key(), start + BEAT * *n).is_none()).collect();
        assert_eq!(read, [0, 10, 20]);
    }

    #[test]
    fn what_comes_at_another_time_is_read() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let mut is_unread = |at: Duration| beats.unread(&key(), start + at).is_some();
        let second = Duration::from_secs(1);
        assert!(!is_unread(Duration::ZERO));
        assert!(is_unread(BEAT + second) && is_unread(BEAT * 2));
        assert!(!is_unread(BEAT * 2 + second), "a goodbye");
        assert!(!is_unread(BEAT * 3 + second * 3), "a late beat");
        assert!(!is_unread(BEAT * 9), "one after a long silence");
        assert!(is_unread(BEAT * 10));
    }

    #[test]
    fn other_records_are_always_read() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let key = "certs/example.com".parse().expect("a key");
        assert!((0..3).all(|n| beats.unread(&key, start + BEAT * n).is_none()));
    }
}
