//! Whatever the file holds: an error or a configuration, never a panic, and every marker within its file.

use proptest::prelude::*;

use crate::{Files, SMALL};

/// Words that make a mutation meaningful now and then.
const WORDS: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'''",
    "\"\"\"",
    "=",
    ",",
    "\n",
    "#",
    ".",
    "-1",
    "1979-05-27",
    "nan",
    "true",
    "[node.\"*\"]\n",
    "[[certificate]]\n",
    "include = [\"*\"]\n",
    "password = \"x",
    "{node}",
    "ü",
    "\0",
    "store",
];

fn survives(bytes: &[u8]) {
    let files = Files::new(&[]);
    std::fs::write(files.path("certfleet.toml"), bytes).unwrap();
    match files.load() {
        Ok(configuration) => {
            for warning in configuration.warnings() {
                files.shown(warning);
            }
            match configuration.for_node(&"lb1".parse().unwrap()) {
                Ok(settings) => drop(settings.print()),
                Err(error) => drop(files.shown(&error)),
            }
        }
        Err(error) => {
            assert!(!files.shown(&error).is_empty() && !error.one_line().is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        survives(&bytes);
    }

    #[test]
    fn arbitrary_text_does_no_harm(text in "[\\PC\\n=\\[\\]{}\"'.#]{0,300}") {
        survives(text.as_bytes());
    }

    #[test]
    fn a_mutated_configuration_does_no_harm(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..20, prop::sample::select(WORDS.to_vec())), 1..6),
        whole in any::<bool>(),
    ) {
        let example = include_str!("../../../../examples/certfleet.toml");
        let mut text: Vec<char> = if whole { example } else { SMALL }.chars().collect();
        for (index, removed, inserted) in edits {
            let start = index.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, inserted.chars());
        }
        survives(text.into_iter().collect::<String>().as_bytes());
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    for text in [
        "[".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
        format!("a = {}", "{a=".repeat(100_000)),
        format!("[{}a]", "a.".repeat(50_000)),
    ] {
        survives(text.as_bytes());
    }
}
