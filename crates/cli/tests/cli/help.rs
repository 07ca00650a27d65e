//! `--help` of every command, `--version`, completions, and wrong usage.

use crate::site::Site;

const COMMANDS: [&[&str]; 30] = [
    &[],
    &["init"],
    &["invite"],
    &["join"],
    &["run"],
    &["check"],
    &["status"],
    &["history"],
    &["wait"],
    &["renew"],
    &["rollout"],
    &["rollout", "back"],
    &["rollout", "resume"],
    &["account"],
    &["account", "show"],
    &["account", "export"],
    &["account", "import"],
    &["account", "rotate"],
    &["node"],
    &["node", "ls"],
    &["node", "remove"],
    &["store"],
    &["store", "check"],
    &["store", "copy"],
    &["store", "backup"],
    &["store", "restore"],
    &["store", "recover"],
    &["fleet"],
    &["fleet", "upgrade"],
    &["snippet"],
];

#[test]
fn every_command_helps_with_an_example() {
    let site = Site::new();
    let machine = site.machine("lb0");
    let mut all = String::new();
    for words in COMMANDS.into_iter().chain([["completions"].as_slice()]) {
        let ran = machine.run(&[words, &["--help"]].concat()).ended(0);
        let call = ["certfleet"].iter().chain(words).copied().collect::<Vec<_>>().join(" ");
        let (_, example) = ran.stdout.split_once("Example").unwrap_or_else(|| panic!("{call} --help has no example"));
        assert!(example.contains(&call), "the example of {call} does not use it");
        all.push_str(&format!("$ {call} --help\n{}\n", ran.stdout));
    }
    insta::assert_snapshot!("help", all);
}

#[test]
fn every_command_of_the_list_is_tested_and_documented() {
    let site = Site::new();
    let machine = site.machine("lb0");
    let help = machine.run(&["-h"]).ended(0).stdout;
    let list = help.split_once("Commands:").expect("a list").1.split_once("Options:").expect("then options").0;
    // Continuation lines are indented deeper.
    let names: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty())).collect();
    let page = include_str!("../../../../docs/commands.md");
    for name in names.iter().filter(|name| **name != "help") {
        assert!(*name == "completions" || COMMANDS.iter().any(|words| words.first() == Some(name)), "{name} is not in COMMANDS");
        assert!(page.contains(&format!("## `{name}")), "docs/commands.md has no section for {name}");
    }
    for later in ["plan", "doctor", "revoke", "forget", "import", "man"] {
        assert!(!names.contains(&later), "{later} is of a later version");
    }
}

#[test]
fn the_version_is_printed() {
    let site = Site::new();
    let ran = site.machine("lb0").run(&["--version"]).ended(0);
    assert_eq!(ran.stdout, format!("certfleet {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2() {
    let site = Site::new();
    let machine = site.machine("lb0");
    let cases: [&[&str]; 11] = [
        &[],
        &["frobnicate"],
        &["status", "--what"],
        &["invite"],
        &["invite", "web-1", "--roles", "king"],
        &["invite", "web-1", "--expires", "soon"],
        &["invite", "web-1", "--uses", "0"],
        &["renew", "example.com", "--timeout", "1m"],
        &["status", "--watch", "--exit-code"],
        &["node", "remove"],
        &["account", "rotate", "--timeout", "1m"],
    ];
    for words in cases {
        let ran = machine.run(words).ended(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{words:?}: {ran:#?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let site = Site::new();
    let machine = site.machine("lb0");
    std::fs::remove_file(&machine.config).expect("no configuration is needed");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = machine.run(&["completions", shell]).ended(0);
        assert!(ran.stdout.contains("rollout") && ran.stdout.contains("certfleet"), "{shell}");
    }
    machine.run(&["completions", "tcsh"]).ended(2);
}
