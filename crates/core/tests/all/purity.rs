//! The core decides and touches nothing: no async, clock, randomness, sockets, files, environment or waiting in its sources, and no crate
//! among its dependencies that would bring them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the core may depend on, and no more: a new entry here is a decision.
const DEPENDENCIES: [&str; 10] =
    ["base64", "ed25519-dalek", "idna", "jiff", "serde", "serde_json", "sha2", "thiserror", "x509-parser", "zeroize"];

/// Of `std`, these modules touch the world. `net` and `sync` are looked at by themselves: addresses are values, and so is what is shared unchanged.
const IMPURE_MODULES: [&str; 9] = ["env", "fs", "io", "net", "os", "path", "process", "sync", "thread"];

/// Of `std::net`, these are values.
const ADDRESSES: [&str; 6] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

/// Of `std::sync`, this is one.
const SHARED: [&str; 1] = ["Arc"];

/// Words that a pure source has no use for.
const WORDS: [&str; 22] = [
    "async",
    "await",
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "tokio",
    "futures",
    "getrandom",
    "rand",
    "rustix",
    "libc",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "RandomState",
    "HashMap",
    "HashSet",
    "DefaultHasher",
    "static",
    "unsafe",
];

/// Calls that read a clock.
const CLOCKS: [&str; 4] = ["Timestamp::now", "Zoned::now", "jiff::tz", "TimeZone::system"];

/// Which deliberate bug a test has asked for on its thread, and which good signatures the thread has met; a release build has neither.
const OF_DEVELOPMENT: [&str; 2] = ["mutants.rs", "trust/known.rs"];

/// What in `source` is not pure; `file` names it.
fn impurities(file: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
        let mut reasons: Vec<String> =
            WORDS.iter().filter(|word| words.contains(word) && !is_lifetime(code, word)).map(ToString::to_string).collect();
        reasons.extend(CLOCKS.iter().filter(|call| code.contains(*call)).map(ToString::to_string));
        reasons.extend(IMPURE_MODULES.iter().filter(|module| uses_module(code, module)).map(|module| format!("std::{module}")));
        found.extend(reasons.into_iter().map(|what| format!("{file}:{}: {what}", index + 1)));
    }
    found
}

fn is_lifetime(code: &str, word: &str) -> bool {
    code.contains(&format!("'{word}")) && !code.contains(&format!(" {word} "))
}

/// Whether the line names `std::module` or takes it out of `use std::{…}`; addresses of `std::net` pass.
fn uses_module(code: &str, module: &str) -> bool {
    let path = format!("std::{module}");
    let named = code.split(&path).skip(1).any(|rest| !is_value(module, rest));
    let grouped = code.trim_start().starts_with("use std::{") && code.split(['{', ',', ' ', ':', '}']).any(|word| word == module);
    named || grouped
}

fn is_value(module: &str, rest: &str) -> bool {
    let values = if module == "net" { &ADDRESSES[..] } else { &SHARED[..] };
    let continues = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let names = rest.trim_start_matches("::").trim_start_matches('{');
    let end = names.find(['}', ';', '(']).unwrap_or(names.len());
    let all_values =
        names[..end].split(',').map(|name| name.split("::").next().unwrap_or_default().trim()).all(|name| values.contains(&name));
    continues || (matches!(module, "net" | "sync") && all_values)
}

/// Dependencies in a manifest's `[dependencies]` that are not allowed.
fn strangers(manifest: &str, allowed: &[&str]) -> Vec<String> {
    super::edges::section(manifest, "dependencies").into_iter().filter(|name| !allowed.contains(&name.as_str())).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn the_core_is_pure() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&folder);
    assert!(files.len() > 20, "only {} sources were found", files.len());
    let found: Vec<String> = files
        .iter()
        .filter(|path| !OF_DEVELOPMENT.iter().any(|file| path.ends_with(file)))
        .flat_map(|path| {
            let name = path.strip_prefix(&folder).expect("below it").display().to_string();
            impurities(&name, &std::fs::read_to_string(path).expect("readable"))
        })
        .collect();
    assert!(found.is_empty(), "not pure:\n{}", found.join("\n"));
}

#[test]
fn the_core_depends_on_values_only() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("readable");
    assert_eq!(strangers(&manifest, &DEPENDENCIES), Vec::<String>::new());
    let names: BTreeSet<String> = super::edges::section(&manifest, "dependencies");
    assert_eq!(names.len(), DEPENDENCIES.len(), "the list names what is no longer used");
}

#[test]
fn what_is_not_pure_is_found() {
    let bad = [
        "async fn decide() {}",
        "let now = Timestamp::now();",
        "let now = jiff::Zoned::now();",
        "use std::time::Instant;",
        "let t = std::time::SystemTime::now();",
        "use std::fs;",
        "use std::{fmt, env};",
        "use std::net::TcpStream;",
        "use std::net::{IpAddr, UdpSocket};",
        "use std::sync::Mutex;",
        "use std::sync::{Arc, RwLock};",
        "std::thread::sleep(span);",
        "std::process::exit(1);",
        "let x: std::io::Result<()> = Ok(());",
        "let mut bytes = [0; 4]; getrandom::fill(&mut bytes);",
        "tokio::spawn(work);",
        "println!(\"{x}\");",
        "let map = std::collections::HashMap::new();",
        "static COUNT: AtomicU64 = AtomicU64::new(0);",
    ];
    for line in bad {
        assert!(!impurities("bad.rs", line).is_empty(), "{line} passes");
    }
    let good = [
        "use std::net::IpAddr;",
        "std::net::Ipv4Addr::from(bytes)",
        "use std::collections::{BTreeMap, BTreeSet};",
        "// asks Timestamp::now, async",
        "fn kind(&self) -> &'static str {",
        "use std::fmt;",
        "use std::sync::Arc;",
    ];
    for line in good {
        assert_eq!(impurities("good.rs", line), Vec::<String>::new(), "{line}");
    }
    assert_eq!(strangers("[dependencies]\ntokio.workspace = true\nserde = \"1\"\n[dev-dependencies]\nx = \"1\"", &DEPENDENCIES), ["tokio"]);
}
