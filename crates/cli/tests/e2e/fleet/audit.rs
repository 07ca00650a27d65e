//! What must hold for every fleet, whatever it went through: no private key in any output, and key files that are nobody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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

/// What is wrong: private keys that are served from below `live` and stand in `output`, whole or in part.
pub fn leaks(live: &Path, output: &str) -> Vec<String> {
    let mut wrong: Vec<String> =
        output.lines().filter(|line| line.contains(MARK)).map(|line| format!("a key in the output: {line}")).collect();
    for path in files(live) {
        let parts = secret_parts(&path);
        wrong.extend(
            parts.iter().filter(|part| output.contains(part.as_str())).map(|_| format!("the key of {} in the output", path.display())),
        );
    }
    wrong
}

fn secret_parts(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let key = text.split_once(MARK).map_or("", |(_, rest)| rest.split(MARK).next().unwrap_or_default());
    key.lines().filter(|line| line.len() >= PART_CHARS_MIN).map(str::to_owned).collect()
}

/// What is wrong: lines of a JSON log that are no JSON object with the usual fields (a panic, for example).
pub fn odd_lines(log: &str) -> Vec<String> {
    let whole = |line: &&str| {
        let value: Option<serde_json::Value> = serde_json::from_str(line).ok();
        value.is_some_and(|value| ["timestamp", "level"].iter().all(|field| value.get(field).is_some_and(|text| text.is_string())))
    };
    log.lines().filter(|line| !whole(line)).map(|line| format!("no log line: {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_others_may_read_are_found() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let live = dir.path().join("live");
        fs::create_dir(&live).expect("directory");
        for (path, mode) in [(dir.path().join("kept.pem"), 0o640), (live.join("privkey.pem"), 0o640), (dir.path().join("log"), 0o644)] {
            let text = if path.ends_with("log") { "nothing" } else { "-----BEGIN PRIVATE KEY-----" };
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
        }
        assert_eq!(loose_keys(dir.path(), &live, 0o640).len(), 1);
        assert_eq!(loose_keys(dir.path(), &live, 0o600).len(), 2);
    }

    #[test]
    fn keys_in_the_output_are_found_in_every_form() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
        let chain = "MIIBszCCAVmgAwIBAgIIZ7dB2u1pGTowCgYIKoZIzj0EAwIw";
        let key = format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n");
        fs::write(dir.path().join("privkey.pem"), &key).expect("writes");
        fs::write(dir.path().join("both.pem"), format!("-----BEGIN CERTIFICATE-----\n{chain}\n-----END CERTIFICATE-----\n{key}"))
            .expect("writes");
        assert_eq!(leaks(dir.path(), &format!("all is well with {chain}")), Vec::<String>::new());
        assert_eq!(leaks(dir.path(), &format!("x{line}x")).len(), 2, "once for each file");
        assert_eq!(leaks(dir.path(), "-----BEGIN EC PRIVATE KEY-----").len(), 1);
    }

    #[test]
    fn lines_that_are_no_log_lines_are_found() {
        let good = r#"{"timestamp":"2026-11-20T10:00:00Z","level":"INFO","event":"started"}"#;
        assert_eq!(odd_lines(&format!("{good}\nthread 'main' panicked\n{{}}\n")).len(), 2);
    }
}
