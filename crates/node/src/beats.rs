//! Which changes of presences are not worth reading: a node that rests beats once a minute, and each of the others would read that, so that a
//! fleet at rest would put the square of its size in requests on its engine.
//!
//! Always holds: only a change that was told just when a beat was due is taken for one unread, only of a node that was there when its presence
//! was read last, and every [`UNREAD_MAX`] of them one is read. Who says something new says it once more at another moment
//! (`decide::presence`), so that it is known some seconds late where it came just then. Whoever judges a holder reads its presence first, so
//! nothing is decided by what was taken for a beat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::decide::BEAT_IDLE_MS;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::records::{Presence, PresenceState};
use tokio::time::Instant;

use crate::executor::Found;

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
    /// Whether it was there when it was read last: who is back after a goodbye says news, whenever it comes.
    was_live: bool,
}

impl Beats {
    /// Of what changed: the nodes that did nothing but beat, as far as can be told without reading, and what is to be read.
    /// Where that is told late, by `delay` at most, it says nothing about when a node wrote, and all is read.
    pub fn apart(&mut self, keys: BTreeSet<Key>, now: Instant, delay: Duration) -> (Vec<NodeName>, BTreeSet<Key>) {
        if delay > Duration::from_millis(TOLERANCE_MS) {
            return (Vec::new(), keys);
        }
        let (mut beating, mut news) = (Vec::new(), BTreeSet::new());
        for key in keys {
            match self.unread(&key, now) {
                Some(node) => beating.push(node),
                None => drop(news.insert(key)),
            }
        }
        (beating, news)
    }

    /// What was read.
    pub fn were_read(&mut self, found: &[Found]) {
        for (key, stored) in found {
            if let Some(heard) = self.heard.get_mut(key) {
                let presence = stored.as_ref().and_then(|stored| stored.envelope.record::<Presence>().ok());
                heard.was_read(presence.map(|presence| presence.state));
            }
        }
    }

    fn unread(&mut self, key: &Key, now: Instant) -> Option<NodeName> {
        let Some(RecordKey::Presence(node)) = RecordKey::of(key) else { return None };
        let heard = self.heard.entry(key.clone()).or_insert(Heard { at: now, unread: 0, was_live: false });
        let due = heard.at + Duration::from_millis(BEAT_IDLE_MS);
        let off = now.saturating_duration_since(due).max(due.saturating_duration_since(now));
        let is_beat = off <= Duration::from_millis(TOLERANCE_MS) && heard.unread < UNREAD_MAX && heard.was_live;
        (heard.at, heard.unread) = (now, if is_beat { heard.unread + 1 } else { 0 });
        is_beat.then_some(node)
    }
}

impl Heard {
    fn was_read(&mut self, state: Option<PresenceState>) {
        self.was_live = state == Some(PresenceState::Live);
    }
}

#[cfg(test)]
mod tests {
    use PresenceState::{Leaving, Live};

    use super::*;

    const BEAT: Duration = Duration::from_millis(BEAT_IDLE_MS);

    fn key() -> Key {
        "presence/lb0".parse().expect("a key")
    }

    /// A node's presences, and whether one told now stays unread; else it is found in this state.
    #[derive(Default)]
    struct Told(Beats);

    impl Told {
        fn is_unread(&mut self, at: Instant, state: PresenceState) -> bool {
            let is_unread = self.0.unread(&key(), at).is_some();
            if !is_unread {
                self.0.heard.values_mut().for_each(|heard| heard.was_read(Some(state)));
            }
            is_unread
        }
    }

    #[test]
    fn beats_that_come_when_they_are_due_are_read_now_and_then() {
        let (mut told, start) = (Told::default(), Instant::now());
        let read: Vec<u32> = (0..25).filter(|n| !told.is_unread(start + BEAT * *n, Live)).collect();
        assert_eq!(read, [0, 10, 20]);
    }

    #[test]
    fn what_comes_at_another_time_is_read() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut is_unread = |at: Duration| told.is_unread(start + at, Live);
        let second = Duration::from_secs(1);
        assert!(!is_unread(Duration::ZERO));
        assert!(is_unread(BEAT + second) && is_unread(BEAT * 2));
        assert!(!is_unread(BEAT * 2 + second), "a change of what it says");
        assert!(!is_unread(BEAT * 3 + second * 3), "a late beat");
        assert!(!is_unread(BEAT * 9), "one after a long silence");
        assert!(is_unread(BEAT * 10));
    }

    #[test]
    fn who_is_back_after_a_goodbye_is_read() {
        let (mut told, start, second) = (Told::default(), Instant::now(), Duration::from_secs(1));
        assert!(!told.is_unread(start, Live) && told.is_unread(start + BEAT, Live));
        let goodbye = start + BEAT + second * 20;
        assert!(!told.is_unread(goodbye, Leaving));
        assert!(!told.is_unread(goodbye + BEAT, Live), "it comes just when a beat would");
        assert!(told.is_unread(goodbye + BEAT * 2, Live));
    }

    #[test]
    fn only_presences_that_were_read_say_who_is_there() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        beats.unread(&key(), start);
        beats.were_read(&[(key(), None)]);
        assert!(beats.unread(&key(), start + BEAT).is_none(), "it was gone");
    }

    #[test]
    fn other_records_are_always_read() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let key = "certs/example.com".parse().expect("a key");
        assert!((0..3).all(|n| beats.unread(&key, start + BEAT * n).is_none()));
    }
}
