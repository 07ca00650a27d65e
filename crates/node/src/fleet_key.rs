//! The fleet key: who has it decides who is in the fleet. `init` makes it; it lies in the state directory of that node (`fleet.key`, 0600),
//! or where the operator took it.
//!
//! As text it is one line that can be written on paper: `certfleet-fleet-key-1:`, 64 hex digits, and 8 more by which a slip of the pen is
//! seen.

use std::path::{Path, PathBuf};

use certfleet_core::trust::{KEY_BYTES, SigningKey};
use zeroize::Zeroizing;

use crate::disk::{self, DiskError};
use crate::refusal::Refusal;

const PREFIX: &str = "certfleet-fleet-key-1:";
const KEY_DIGITS: usize = 2 * KEY_BYTES;
const CHECK_DIGITS: usize = 8;

/// Where it lies unless the operator took it away.
pub fn path(state: &Path) -> PathBuf {
    state.join("fleet.key")
}

/// The key as text.
fn encode(key: &SigningKey) -> Zeroizing<String> {
    let digits = Zeroizing::new(certfleet_core::hash::hex(key.expose_seed().as_slice()));
    // Sized first, so that no copy is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + KEY_DIGITS + CHECK_DIGITS + 1));
    [PREFIX, &digits, &check(&digits), "\n"].iter().for_each(|part| text.push_str(part));
    text
}

fn check(digits: &str) -> String {
    certfleet_core::hash::sha256_hex(digits.as_bytes()).chars().take(CHECK_DIGITS).collect()
}

fn decode(text: &str) -> Result<SigningKey, &'static str> {
    let digits = text.trim().strip_prefix(PREFIX).ok_or("it does not begin with `certfleet-fleet-key-1:`")?;
    let digits = wiped_without_spaces(digits);
    if digits.len() != KEY_DIGITS + CHECK_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("72 hex digits are wanted");
    }
    let (key, sum) = digits.split_at(KEY_DIGITS);
    if check(key) != sum {
        return Err("a digit is wrong: the last eight do not fit the others");
    }
    let mut seed = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in seed.iter_mut().zip(key.as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or("72 hex digits are wanted")?;
    }
    Ok(SigningKey::from_seed(&seed))
}

/// As somebody would type it from paper.
fn wiped_without_spaces(typed: &str) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(typed.len()));
    digits.extend(typed.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()));
    digits
}

/// Keeps it, 0600.
pub fn save(path: &Path, key: &SigningKey) -> Result<(), DiskError> {
    disk::write_private(path, encode(key).as_bytes())
}

/// The key in a file; none if there is no such file.
pub fn load(path: &Path) -> Result<Option<SigningKey>, Refusal> {
    let unreadable = |why: String| Refusal::new(why, "give the file that `certfleet init --export-key` wrote, with `--fleet-key FILE`");
    let Some(bytes) = disk::read(path).map_err(|error| unreadable(error.to_string()))? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable(format!("{} holds no fleet key: it is not text", path.display())))?;
    decode(text).map(Some).map_err(|why| unreadable(format!("{} holds no fleet key: {why}", path.display())))
}

/// The key that a command needs: from `file`, else from the state directory.
pub fn find(state: &Path, file: Option<&Path>) -> Result<SigningKey, Refusal> {
    let usual = path(state);
    match load(file.unwrap_or(&usual))? {
        Some(key) => Ok(key),
        None => Err(Refusal::new(
            format!("this needs the fleet key, and there is none in {}", file.unwrap_or(&usual).display()),
            "run it on the node where `certfleet init` ran, or give the exported key with `--fleet-key FILE`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_slip_is_seen() {
        let key = SigningKey::from_seed(&[0xa7; 32]);
        let text = encode(&key);
        assert_eq!(decode(&text), Ok(key.clone()));
        let spaced = text.replace("a7a7a7a7", "A7A7 A7A7 ");
        assert_eq!(decode(&spaced), Ok(key), "as somebody would type it");
        let digits: Vec<usize> = (PREFIX.len()..text.trim().len()).collect();
        for at in digits {
            let mut slip = text.as_bytes().to_vec();
            slip[at] = if slip[at] == b'0' { b'1' } else { b'0' };
            assert!(decode(std::str::from_utf8(&slip).expect("text")).is_err(), "digit {at}");
        }
        for bad in ["", "certfleet-fleet-key-1:", "certfleet-fleet-key-1:zz", "-----BEGIN PRIVATE KEY-----"] {
            assert!(decode(bad).is_err());
        }
    }

    #[test]
    fn errors_do_not_show_the_key() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("key");
        std::fs::write(&file, "certfleet-fleet-key-1:00112233").expect("writes");
        let error = load(&file).expect_err("too short").to_string();
        assert!(error.contains("72 hex digits") && !error.contains("00112233"), "{error}");
    }
}
