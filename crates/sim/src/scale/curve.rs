//! How much of something there was in each hour.

use std::time::Duration;

/// Seconds of an hour.
const HOUR_SECONDS: u64 = 3600;

/// Counts by hour, from the beginning of the run on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Curve {
    hours: Vec<u64>,
}

impl Curve {
    /// So many more at that moment.
    pub fn add(&mut self, moment: Duration, count: u64) {
        let hour = usize::try_from(moment.as_secs() / HOUR_SECONDS).unwrap_or(usize::MAX);
        if hour >= self.hours.len() {
            self.hours.resize(hour + 1, 0);
        }
        self.hours[hour] += count;
    }

    /// By hour.
    pub fn hours(&self) -> &[u64] {
        &self.hours
    }

    /// In all.
    pub fn sum(&self) -> u64 {
        self.hours.iter().sum()
    }

    /// In that hour.
    pub fn at(&self, hour: usize) -> u64 {
        self.hours.get(hour).copied().unwrap_or(0)
    }

    /// The most within so many whole hours in a row.
    pub fn most_within(&self, hours: usize) -> u64 {
        let windows = self.hours.windows(hours.min(self.hours.len()).max(1));
        windows.map(|window| window.iter().sum()).max().unwrap_or(0)
    }

    /// The hour in which there was most.
    pub fn busiest(&self) -> usize {
        (0..self.hours.len()).max_by_key(|hour| (self.hours[*hour], usize::MAX - hour)).unwrap_or(0)
    }

    /// The first and the last hour in which there was any.
    pub fn span(&self) -> Option<(usize, usize)> {
        let any = |count: &u64| *count > 0;
        Some((self.hours.iter().position(any)?, self.hours.iter().rposition(any)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_and_found() {
        let mut curve = Curve::default();
        assert_eq!((curve.sum(), curve.most_within(3), curve.busiest(), curve.span()), (0, 0, 0, None));
        for (minute, count) in [(0, 0), (119, 2), (120, 3), (185, 4), (400, 1)] {
            curve.add(Duration::from_secs(minute * 60), count);
        }
        assert_eq!(curve.hours(), [0, 2, 3, 4, 0, 0, 1]);
        assert_eq!((curve.sum(), curve.most_within(1), curve.most_within(3), curve.most_within(99)), (10, 4, 9, 10));
        assert_eq!((curve.busiest(), curve.span(), curve.at(2), curve.at(99)), (3, Some((1, 6)), 3, 0));
    }
}
