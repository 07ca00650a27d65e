//! Spans of time, as people write and read them.

use std::time::Duration;

use certfleet_node::time::{Timestamp, until};

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Reads `90s`, `10m`, `24h`, `7d`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "a number and a unit are wanted: 90s, 10m, 24h, 7d".to_owned();
    let (_, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let span = number.checked_mul(*seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(span))
}

/// The two largest units: `89d`, `5h 12m`, `40s`. Days stand alone from three on.
pub fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    let Some(at) = UNITS.iter().position(|(_, unit)| seconds >= *unit) else { return "0s".to_owned() };
    let (name, unit) = UNITS[at];
    let first = format!("{}{name}", seconds / unit);
    match UNITS.get(at + 1) {
        Some((next, size)) if seconds % unit >= *size && seconds < 3 * 86_400 => format!("{first} {}{next}", seconds % unit / size),
        _ => first,
    }
}

/// How long until `stamp`: `59d`, or `now` if it has passed.
pub fn ahead(now: Timestamp, stamp: Timestamp) -> String {
    if stamp <= now { "now".to_owned() } else { short(until(now, stamp)) }
}

/// How long since `stamp`: `3s ago`.
pub fn ago(now: Timestamp, stamp: Timestamp) -> String {
    format!("{} ago", short(until(stamp, now)))
}

/// A moment to the second, UTC.
pub fn moment(stamp: Timestamp) -> String {
    format!("{stamp:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "10", "m", "0s", "-1h", "1w", "1 h", "99999999999999999999d", "ü"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for (seconds, text) in
            [(0, "0s"), (40, "40s"), (90, "1m 30s"), (3_600, "1h"), (18_720, "5h 12m"), (90_000, "1d 1h"), (7_700_000, "89d")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
