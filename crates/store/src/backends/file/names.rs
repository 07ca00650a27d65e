//! Keys as file names, both ways.
//!
//! `a-z 0-9 . _ -` stand for themselves, `/` is `+`, every other byte is `%` and two hex digits: upper case too, since some file systems do
//! not tell it from lower case. Names that would be too long are a readable beginning, `~` and the key's hash; then the key itself stands in
//! the file `key` inside.

use std::fmt::Write;

use certfleet_core::hash::sha256_hex;
use certfleet_core::key::Key;

/// Longest name that is not hashed, in bytes (eCryptfs has the smallest limit, 143).
const NAME_BYTES_MAX: usize = 140;
/// How much of a hashed name is readable, in bytes.
const READABLE_BYTES: usize = 60;
/// Hex digits of a shard's name: 256 shards.
const SHARD_DIGITS: usize = 2;
/// Digits of a revision's name; more are used when they are needed.
const REVISION_DIGITS: usize = 10;

/// The file that holds the key where the name is hashed.
pub(super) const KEY_FILE: &str = "key";
/// How names of values on their way begin.
pub(super) const TEMP_PREFIX: &str = ".new-";

/// Where a key's revisions are, below the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Directory of the shard.
    pub(super) shard: String,
    /// Directory of the key, inside.
    pub(super) name: String,
    /// Whether the name tells the key only by its hash.
    pub(super) hashed: bool,
}

impl Place {
    pub(super) fn of(key: &Key) -> Self {
        let hash = sha256_hex(key.as_str().as_bytes());
        let shard = hash[..SHARD_DIGITS].to_owned();
        let plain = encoded(key);
        if plain.len() <= NAME_BYTES_MAX {
            return Self { shard, name: plain, hashed: false };
        }
        Self { shard, name: format!("{}~{hash}", &plain[..READABLE_BYTES]), hashed: true }
    }
}

/// What the name of a key's directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DirName {
    /// This key.
    Key(Key),
    /// Look into the file `key`.
    Hashed,
    /// Nothing of ours.
    Foreign,
}

impl DirName {
    pub(super) fn parse(name: &str) -> Self {
        if name.contains('~') {
            return Self::Hashed;
        }
        let key = decoded(name).and_then(|key| key.parse::<Key>().ok());
        // One key has one name: what encodes otherwise was not written by us.
        key.filter(|key| name.len() <= NAME_BYTES_MAX && encoded(key) == name).map_or(Self::Foreign, Self::Key)
    }
}

/// Whether `name` can be a shard's.
pub(super) fn is_shard(name: &str) -> bool {
    name.len() == SHARD_DIGITS && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The file name of a revision.
pub(super) fn revision_name(number: u64) -> String {
    format!("{number:0REVISION_DIGITS$}")
}

/// The number that a file name stands for.
pub(super) fn revision_number(name: &str) -> Option<u64> {
    let number = name.parse().ok()?;
    (number > 0 && revision_name(number) == name).then_some(number)
}

fn encoded(key: &Key) -> String {
    let bytes = key.as_str().bytes();
    let last = bytes.len() - 1;
    bytes.enumerate().fold(String::with_capacity(last + 1), |mut name, (at, byte)| {
        // A dot in front hides a file; some servers drop one at the end.
        let plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') || (byte == b'.' && at != 0 && at != last);
        match byte {
            b'/' => name.push('+'),
            _ if plain => name.push(char::from(byte)),
            _ => _ = write!(name, "%{byte:02x}"),
        }
        name
    })
}

fn decoded(name: &str) -> Option<String> {
    let mut key = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        key.push(match c {
            '+' => '/',
            '%' => char::from(u8::try_from(rest.next()?.to_digit(16)? * 16 + rest.next()?.to_digit(16)?).ok()?),
            c => c,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use certfleet_core::{key::RecordKey, names};

    fn key(text: &str) -> Key {
        text.parse().expect(text)
    }

    #[test]
    fn names_are_plain_and_read_back() {
        for (text, name) in [
            ("fleet", "fleet"),
            ("certs/*.example.com@lb1", "certs+%2a.example.com%40lb1"),
            ("nodes/LB", "nodes+%4c%42"),
            (".hidden", "%2ehidden"),
            ("a/.b.", "a+.b%2e"),
            ("a+b~c%", "a%2bb%7ec%25"),
            ("certs/example.com@lb0", "certs+example.com%40lb0"),
            ("requests/a@b/b", "requests+a%40b+b"),
            ("invitations/00ff00ff", "invitations+00ff00ff"),
            ("joining/lb0", "joining+lb0"),
        ] {
            assert_eq!(Place::of(&key(text)).name, name);
            assert_eq!(DirName::parse(name), DirName::Key(key(text)));
        }
    }

    #[test]
    fn long_names_are_hashed_and_differ() {
        let long = |end: &str| Place::of(&key(&format!("versions/{}{end}", "a".repeat(300))));
        assert!(long("x").hashed && long("x").name.len() <= NAME_BYTES_MAX);
        assert_ne!(long("x").name, long("y").name);
        assert_eq!(DirName::parse(&long("x").name), DirName::Hashed);
    }

    /// Whatever record a key is of, it has a name that every file system takes.
    #[test]
    fn the_longest_record_keys_have_names() {
        let (node, hash) = ("n".repeat(names::NAME_BYTES_MAX), "0f".repeat(32));
        let cert = format!("{}@{node}", ["c".repeat(62).as_str(); 4].join(".") + ".c");
        assert_eq!(cert.len(), names::DOMAIN_BYTES_MAX + 1 + names::NAME_BYTES_MAX);
        for text in [format!("wraps/{hash}/lb0"), format!("invitations/{hash}"), format!("joining/{node}")] {
            let place = Place::of(&key(&text));
            assert_eq!((place.hashed, DirName::parse(&place.name)), (false, DirName::Key(key(&text))));
        }
        let long = ["certs/C", "requests/C/N", "versions/C/18446744073709551615", "reports/C/N/N", "wraps/H/N"];
        let keys = long.map(|form| key(&form.replace('C', &cert).replace('N', &node).replace('H', &hash)));
        assert_eq!(keys.iter().find(|key| RecordKey::of(key).is_none()), None);
        let places: Vec<Place> = keys.iter().map(Place::of).collect();
        for (n, place) in places.iter().enumerate() {
            assert!(place.hashed && place.name.len() <= NAME_BYTES_MAX, "{place:?}");
            assert_eq!(DirName::parse(&place.name), DirName::Hashed);
            assert!(places[..n].iter().all(|other| other.name != place.name));
        }
    }

    #[test]
    fn other_names_are_foreign() {
        for name in ["", "README", "a%2", "a%zz", "a%2A", "a%61", "+a", "a++b", ".git", "ü", "a b"] {
            assert_eq!(DirName::parse(name), DirName::Foreign, "{name:?}");
        }
        for name in ["", "0", "1", "0000000000", "00000000001", "-000000001", "+000000001", "000000001x"] {
            assert_eq!(revision_number(name), None, "{name:?}");
        }
        assert_eq!(revision_number(&revision_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(revision_number("0000000007"), Some(7));
    }
}
