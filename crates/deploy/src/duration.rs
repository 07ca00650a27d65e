//! Spans of time as people write them: `500ms`, `30s`, `5m`, `1h`, `2d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Longest span that makes sense in a configuration, in days.
const SPAN_DAYS_MAX: u64 = 3650;

/// Reads a number and its unit (`ms`, `s`, `m`, `h`, `d`).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a span of time; a number and its unit are wanted, for example \"30s\", \"5m\" or \"1h\"");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let number: u64 = text[..digits].parse().map_err(|_| refused())?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= SPAN_DAYS_MAX * 86_400_000);
    ms.map(Duration::from_millis).ok_or_else(|| format!("`{text}` is longer than {SPAN_DAYS_MAX} days"))
}

/// For `#[serde(deserialize_with = …)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(172_800)));
        for bad in ["", "30", "s", "1 s", "-1s", "1.5h", "99999999999999999999s", "9999999999999h", "1w"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
