//! What will happen, in order of time; of what happens at the same moment, first what was put in first.
//!
//! Always holds: moments are whole steps, so that a node decides once about all that comes within one.

use std::collections::BTreeMap;
use std::time::Duration;

/// Moments are so far apart, in milliseconds.
const STEP_MS: u64 = 250;

/// What will happen.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: BTreeMap<(u64, u64), T>,
    count: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), count: 0 }
    }
}

/// The first whole step that is not before a moment.
pub fn step_of(moment: Duration) -> Duration {
    let ms = u64::try_from(moment.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(ms.div_ceil(STEP_MS) * STEP_MS)
}

impl<T> Queue<T> {
    /// Something will happen then.
    pub fn put(&mut self, moment: Duration, what: T) {
        let ms = u64::try_from(step_of(moment).as_millis()).unwrap_or(u64::MAX);
        self.waiting.insert((ms, self.count), what);
        self.count += 1;
    }

    /// When something happens next.
    pub fn first(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((ms, _), _)| Duration::from_millis(*ms))
    }

    /// What happens next, if it happens by then.
    pub fn take(&mut self, now: Duration) -> Option<T> {
        self.first().filter(|first| *first <= now)?;
        self.waiting.pop_first().map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_first_comes_first() {
        let ms = Duration::from_millis;
        let mut queue = Queue::default();
        [(300, 'c'), (1, 'a'), (250, 'b'), (500, 'd')].into_iter().for_each(|(at, what)| queue.put(ms(at), what));
        assert_eq!(queue.first(), Some(ms(250)));
        assert_eq!(
            (queue.take(ms(249)), queue.take(ms(250)), queue.take(ms(250)), queue.take(ms(250))),
            (None, Some('a'), Some('b'), None)
        );
        assert_eq!((queue.take(ms(500)), queue.take(ms(500)), queue.first()), (Some('c'), Some('d'), None));
    }
}
