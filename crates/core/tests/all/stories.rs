//! Every `stories/*.story` (those whose names contain `$STORY`, if it is set), told and compared with what it told before; and every crash and pause that the main job can meet.

use std::path::{Path, PathBuf};

use super::world::tell;

/// How many stories are told at a time.
const TELLERS: usize = 2;

/// The moments of a first issue at which a machine can be hit.
pub const POINTS: [&str; 16] = [
    "create-account-key",
    "register",
    "beat",
    "check-clock",
    "make-key",
    "write keyed",
    "call new-order",
    "write ordered",
    "write validating",
    "call ready",
    "call look",
    "write finalizing",
    "call finalize",
    "call fetch",
    "store-version",
    "write placed",
];

#[test]
fn the_stories_are_told_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let entries = std::fs::read_dir(&folder).expect("the folder is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "story"));
    paths.sort();
    assert!(paths.len() > 20, "only {} stories were found", paths.len());
    if let Ok(only) = std::env::var("STORY") {
        paths.retain(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains(&only)));
    }
    let fails = |path: &&PathBuf| std::panic::catch_unwind(|| is_told_as_before(path)).is_err();
    let share = |teller: usize| paths.iter().skip(teller).step_by(TELLERS).filter(fails).collect::<Vec<_>>();
    let failed = std::thread::scope(|scope| {
        let tellers: Vec<_> = (0..TELLERS).map(|teller| scope.spawn(move || share(teller))).collect();
        tellers.into_iter().flat_map(|teller| teller.join().expect("what panics is caught")).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "see above: {failed:?}");
}

fn is_told_as_before(path: &Path) {
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let script = std::fs::read_to_string(path).expect("readable");
    println!("══ {name}");
    let log = tell(&script);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(path.parent().expect("in a folder"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(script.lines().next().unwrap_or_default().trim_start_matches("# "));
    settings.bind(|| insta::assert_snapshot!(name, log));
}

#[test]
fn every_crash_is_survived() {
    for point in POINTS {
        for moment in ["before", "after"] {
            println!("══ crash {moment} {point}");
            let first = format!("cert example.com\nnodes a b c\nstart all\ncrash {moment} {point}\nrun 30s\nexpect issued 1\n");
            tell(&format!("{first}expect orders 1\nexpect generation 1\nexpect verified all\nstart all\nrun 10s\nexpect verified a,b,c"));
        }
    }
}

#[test]
fn every_pause_is_survived() {
    for point in POINTS {
        for (moment, span) in ["before", "after"].into_iter().flat_map(|moment| [(moment, "6s"), (moment, "7s"), (moment, "10m")]) {
            println!("══ pause {moment} {point} for {span}");
            let first = format!("cert example.com\nnodes a b c\nstart all\npause {moment} {point}\nrun {span}\nresume all\nrun 30s\n");
            tell(&format!("{first}expect issued 1\nexpect generation 1\nexpect verified a,b,c"));
        }
    }
}
