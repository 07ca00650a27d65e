//! What must hold for every fleet, whatever it went through: no private key in any output, and key files that are nobody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use certfleet_core::encoding::from_base64;

/// How a private key in PEM is known.
const MARK: &str = "PRIVATE KEY";
/// Shortest part of a key that is looked for, in characters.
const PART_CHARS_MIN: usize = 24;

/// All files below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

/// What is wrong: files below a node's directory that hold a key and have another mode than `live_mode` in `live`, 0600 elsewhere.
pub fn loose_keys(node_dir: &Path, live: &Path, live_mode: u32) -> Vec<String> {
    let holds_key = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(MARK));
    let told = |path: PathBuf| {
        let wanted = if path.starts_with(live) { live_mode } else { 0o600 };
        let found = fs::metadata(&path).map_or(0, |meta| meta.permissions().mode() & 0o777);
        (found != wanted).then(|| format!("{} holds a private key and has mode {found:o}", path.display()))
    };
    files(node_dir).into_iter().filter(holds_key).filter_map(told).collect()
}

/// What is wrong: private keys of the store that stand in `output`, whole or in part, in PEM or as the store keeps them.
pub fn leaks(store: &Path, output: &str) -> Vec<String> {
    let mut wrong: Vec<String> =
        output.lines().filter(|line| line.contains(MARK)).map(|line| format!("a key in the output: {line}")).collect();
    for path in files(store) {
        let parts = secret_parts(&path);
        wrong.extend(
            parts.iter().filter(|part| output.contains(part.as_str())).map(|_| format!("the key of {} in the output", path.display())),
        );
    }
    wrong
}

fn secret_parts(path: &Path) -> Vec<String> {
    let value: Option<serde_json::Value> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(sealed) = value.as_ref().and_then(|value| value.pointer("/body/key/data")?.as_str()) else { return Vec::new() };
    let pem = from_base64(sealed).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines = pem.lines().filter(|line| !line.contains(MARK) && line.len() >= PART_CHARS_MIN).map(str::to_owned);
    lines.chain([sealed.to_owned()]).collect()
}

/// What is wrong: lines of a JSON log that are no JSON object with the usual fields (a panic, for example).
pub fn odd_lines(log: &str) -> Vec<String> {
    let whole = |line: &&str| {
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        value.is_some_and(|value| ["timestamp", "level"].iter().all(|field| value.get(field).is_some_and(|text| text.is_string())))
    };
    log.lines().filter(|line| !whole(line)).map(|line| format!("no log line: {line}")).collect()
}
