//! Where things are in the bucket.
//!
//! ```text
//! <prefix>/store           the store's identity
//! <prefix>/data/<key>      a value, or the tombstone of one
//! ```
//!
//! Letters, digits and `. _ - / @ *` stand for themselves, every other byte is `=` and two hex digits: some of those S3 advises against, and
//! some programs between us and it change them.

use std::fmt::Write;

use certfleet_core::key::{KEY_BYTES_MAX, Key};

use crate::error::StoreError;

/// Longest name that S3 takes, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The names of one store's objects.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// By this one the store is known.
    pub(super) fn marker(&self) -> String {
        format!("{}/store", self.prefix)
    }

    /// What the names of all of the store begin with.
    pub(super) fn all(&self) -> String {
        format!("{}/", self.prefix)
    }

    fn data(&self) -> String {
        format!("{}/data/", self.prefix)
    }

    /// Where a key's value is. A key may be so long that there is no such name; none of a record is.
    pub(super) fn of(&self, key: &Key) -> Result<String, StoreError> {
        let name = format!("{}{}", self.data(), encoded(key.as_str()));
        if name.len() <= NAME_BYTES_MAX {
            return Ok(name);
        }
        Err(StoreError::Unfit {
            key: key.clone(),
            why: format!("its name in S3 would have {} bytes, more than the {NAME_BYTES_MAX} that S3 takes", name.len()),
        })
    }

    /// What the names of all keys at or below `under` begin with; others may, too.
    pub(super) fn under(&self, under: &str) -> String {
        format!("{}{}", self.data(), encoded(under.trim_end_matches('/')))
    }

    /// The key of a name; of a foreign one where it is, in the form of a key.
    pub(super) fn key(&self, name: &str) -> Result<Key, Key> {
        let below = name.strip_prefix(&self.data()).unwrap_or_default();
        // One key has one name: what encodes otherwise was not written by us.
        let key = decoded(below).and_then(|text| text.parse::<Key>().ok()).filter(|key| encoded(key.as_str()) == below);
        key.ok_or_else(|| as_key(name))
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut name, byte| {
        match byte {
            b if b.is_ascii_alphanumeric() || b"._-/@*".contains(&b) => name.push(char::from(b)),
            // Writing to a string cannot fail.
            b => _ = write!(name, "={b:02X}"),
        }
        name
    })
}

fn decoded(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '=' => char::from(u8::try_from(rest.next()?.to_digit(16)? * 16 + rest.next()?.to_digit(16)?).ok()?),
            c => c,
        });
    }
    Some(text)
}

/// Where something foreign is, in the form of a key: `?` for what keys do not have.
fn as_key(name: &str) -> Key {
    let segments = name.split('/').map(|segment| match segment {
        "" | "." | ".." => "?".to_owned(),
        segment => segment.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect(),
    });
    let text = segments.collect::<Vec<_>>().join("/");
    let bounded = text.get(..KEY_BYTES_MAX).unwrap_or(&text).trim_end_matches('/');
    bounded.parse().unwrap_or_else(|_| "data".parse().expect("`data` is a well-formed key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_lead_back_to_keys() {
        let names = Names::new("fleet/a");
        for (text, name) in [
            ("certs/*.example.com@lb1", "fleet/a/data/certs/*.example.com@lb1"),
            ("nodes/LB", "fleet/a/data/nodes/LB"),
            ("a/+%~=", "fleet/a/data/a/=2B=25=7E=3D"),
        ] {
            let key: Key = text.parse().expect(text);
            assert_eq!(names.of(&key).as_deref(), Ok(name));
            assert_eq!(names.key(name), Ok(key.clone()));
            assert!(name.starts_with(&names.under(text)) && name.starts_with(&names.under("")), "{name}");
        }
        assert_eq!((names.marker().as_str(), names.all().as_str()), ("fleet/a/store", "fleet/a/"));
    }

    #[test]
    fn other_names_are_foreign() {
        let names = Names::new("f");
        for (name, shown) in [
            ("f/data/", "f/data/?"),
            ("f/data/a//b", "f/data/a/?/b"),
            ("f/data/a=2", "f/data/a=2"),
            ("f/data/a=2b", "f/data/a=2b"),
            ("f/data/a=61", "f/data/a=61"),
            ("f/data/ü b", "f/data/??b"),
            ("f/data/../x", "f/data/?/x"),
            ("elsewhere", "elsewhere"),
        ] {
            assert_eq!(names.key(name).map_err(|key| key.to_string()), Err(shown.to_owned()), "{name}");
        }
    }

    #[test]
    fn names_that_s3_does_not_take_are_refused() {
        let names = Names::new("f");
        let long = |length: usize| format!("a/{}", "b".repeat(length - 2)).parse::<Key>().expect("a key");
        assert!(names.of(&long(NAME_BYTES_MAX - 7)).is_ok());
        assert!(matches!(names.of(&long(NAME_BYTES_MAX - 6)), Err(StoreError::Unfit { .. })));
    }
}
