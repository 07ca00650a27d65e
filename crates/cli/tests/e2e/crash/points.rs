//! The crash points that the sources have. Read from the sources, so that none is forgotten here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Points whose moment cannot be brought about here, and why.
pub const NOT_HERE: [(&str, &str); 2] = [
    ("before-cas-aside-ended", "an attempt that was set aside is looked at every ten minutes; core's stories do it on their own clock"),
    ("after-cas-aside-ended", "the same"),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All of them, as `CERTFLEET_CRASH_AT` wants them.
pub fn declared() -> BTreeSet<String> {
    let executor = crates().join("node/src/executor");
    let sources = std::fs::read_dir(&executor).expect("the executor's sources").flatten().map(|entry| read(&entry.path()));
    let mut points = BTreeSet::new();
    for source in sources {
        for call in source.split("crash::point(").skip(1) {
            let (arguments, _) = call.split_once(')').expect("a call ends");
            let (when, what) = arguments.split_once(',').expect("two arguments");
            let when = when.trim().trim_matches('"');
            points.extend(kinds(what.trim()).into_iter().map(|what| format!("{when}-{what}")));
        }
    }
    points
}

/// What the second argument of a crash point may be.
fn kinds(argument: &str) -> Vec<String> {
    let plan = || read(&crates().join("core/src/decide/action.rs"));
    match argument {
        "event.name(" => words(&plan(), "impl Event {"),
        "name" => words(&plan(), "impl Call {"),
        // What `Action::Record` writes: the others are put back as they were, or have actions of their own.
        "record.kind(" => ["nodes", "invitations", "accounts", "certs"].map(str::to_owned).into(),
        "target.kind(" => ["files", "nginx", "haproxy"].map(str::to_owned).into(),
        literal if literal.starts_with('"') => vec![literal.trim_matches('"').to_owned()],
        other => panic!("a crash point of a new form: {other}; say here what it can be"),
    }
}

/// The words that the first match of `block` gives.
fn words(source: &str, block: &str) -> Vec<String> {
    let (_, block) = source.split_once(block).expect("the block is there");
    let (block, _) = block.split_once("\n}").expect("a block ends");
    let arms = block.lines().filter_map(|line| line.split_once("=> \"")?.1.split_once('"'));
    arms.map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn the_sources_are_understood() {
    let points = declared();
    for known in ["before-store-key", "after-ca-new-order", "before-cas-taken-over", "after-install-haproxy"] {
        assert!(points.contains(known), "{known} is missing: {points:?}");
    }
    for (point, _) in NOT_HERE {
        assert!(points.contains(point), "{point} does not exist any more");
    }
    assert_eq!(points.len() % 2, 0, "each has a before and an after: {points:?}");
}
