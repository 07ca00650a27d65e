//! Where things are in etcd.
//!
//! ```text
//! <prefix>/store           the store's identity
//! <prefix>/data/<key>      a value
//! ```

use certfleet_core::key::{KEY_BYTES_MAX, Key};

/// What comes after `/` in ASCII: the end of the range of all keys that begin with `…/`.
const AFTER_SLASH: char = '0';

/// The names of one store's keys.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// By this one the store is known.
    pub fn marker(&self) -> String {
        format!("{}/store", self.prefix)
    }

    /// All of the store: the first name, and the one behind the last.
    pub fn all(&self) -> (String, String) {
        (format!("{}/", self.prefix), format!("{}{AFTER_SLASH}", self.prefix))
    }

    pub fn of(&self, key: &Key) -> String {
        format!("{}/data/{key}", self.prefix)
    }

    /// A range that holds all keys at or below `under`, and perhaps others: the first name, and the one behind the last.
    pub fn range(&self, under: &str) -> (String, String) {
        match under.trim_end_matches('/') {
            "" => (format!("{}/data/", self.prefix), format!("{}/data{AFTER_SLASH}", self.prefix)),
            under => (format!("{}/data/{under}", self.prefix), format!("{}/data/{under}{AFTER_SLASH}", self.prefix)),
        }
    }

    /// The key of a name; of a foreign one where it is, in the form of a key.
    pub fn key(&self, name: &[u8]) -> Result<Key, Key> {
        let below = name.strip_prefix(format!("{}/data/", self.prefix).as_bytes()).unwrap_or(name);
        let key = std::str::from_utf8(below).ok().and_then(|text| text.parse().ok());
        key.ok_or_else(|| as_key(name))
    }
}

/// Where something foreign is, in the form of a key: `.store` in front, `?` for what keys do not have.
fn as_key(name: &[u8]) -> Key {
    let plain = |b: &u8| if b.is_ascii_graphic() { char::from(*b) } else { '?' };
    let segments = name.split(|b| *b == b'/').map(|segment| match segment {
        b"" | b"." | b".." => "?".to_owned(),
        segment => segment.iter().map(plain).collect(),
    });
    let text: String = std::iter::once(".store".to_owned()).chain(segments.skip(1)).collect::<Vec<_>>().join("/");
    let bounded = text.get(..KEY_BYTES_MAX).unwrap_or(&text).trim_end_matches('/');
    bounded.parse().unwrap_or_else(|_| "data".parse().expect("`data` is a well-formed key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_keys() {
        let names = Names::new("/c");
        let key: Key = "certs/*.a@b".parse().expect("key");
        assert_eq!((names.of(&key).as_str(), names.key(b"/c/data/certs/*.a@b")), ("/c/data/certs/*.a@b", Ok(key)));
        assert_eq!(names.marker(), "/c/store");
        for foreign in [&b"/c/data/a b"[..], b"/c/data/", b"/c/data//", b"/c/data/\xff", b"/c/data/a//b"] {
            let place = names.key(foreign).expect_err("foreign");
            assert!(place.as_str().starts_with(".store/c/data"), "{place}");
        }
    }

    #[test]
    fn ranges_hold_what_is_below() {
        let names = Names::new("/c");
        for (under, inside, outside) in [("", "a", "../x"), ("a", "a", "b"), ("a/", "a/b", "aa"), ("a", "a/z/z", "a0")] {
            let (first, behind) = names.range(under);
            let name = |key: &str| format!("/c/data/{key}");
            assert!((&first..&behind).contains(&&name(inside)), "{under}: {inside}");
            assert!(!(&first..&behind).contains(&&name(outside)) || outside.starts_with('.'), "{under}: {outside}");
        }
        let (first, behind) = names.all();
        assert!((first..behind).contains(&names.marker()));
    }
}
