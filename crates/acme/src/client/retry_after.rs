//! Retry-After (RFC 9110 section 10.2.3): seconds, or a date.

use std::time::Duration;

use certfleet_core::time::{Timestamp, until};
use jiff::fmt::rfc2822::DateTimeParser;

/// Longest that a CA can make us wait by one answer: some send a day; more is an error of theirs.
const RETRY_AFTER_SECONDS_MAX: u64 = 24 * 3600;

/// How long to wait by the header's value; `now` is the server's clock, for dates.
pub(super) fn span(value: &str, now: Option<Timestamp>) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        true if value.is_empty() => return None,
        // Too many digits for a number are too many seconds all the same.
        true => Duration::from_secs(value.parse().unwrap_or(u64::MAX)),
        false => until(now?, http_date(value)?),
    };
    Some(wait.min(Duration::from_secs(RETRY_AFTER_SECONDS_MAX)))
}

/// An HTTP date in the form that may be sent (RFC 9110 section 5.6.7); the two obsolete forms are not read.
pub(super) fn http_date(value: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(value.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_capped() {
        let now = http_date("Fri, 31 Dec 1999 23:59:00 GMT");
        assert_eq!(now, "1999-12-31T23:59:00Z".parse().ok());
        let seconds = |value: &str| span(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 30 "), Some(30));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:05 GMT"), Some(5));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:58:00 GMT"), Some(0), "a moment that has passed");
        for huge in ["86401", "99999999999999999999999999", "Sat, 31 Dec 2050 00:00:00 GMT"] {
            assert_eq!(seconds(huge), Some(24 * 3600), "{huge}");
        }
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        assert_eq!(span("Fri, 31 Dec 1999 23:59:05 GMT", None), None, "no clock to measure from");
    }
}
