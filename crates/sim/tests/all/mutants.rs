//! The checkers can fail: each deliberate bug is caught, by the checker and within the seeds that the documents say.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use certfleet_core::mutants::{Mutant, with};
use certfleet_sim::mutants::{CATCHES, Catch};
use certfleet_sim::shrink::shrink;
use certfleet_sim::{Report, Variant, run_variant};

#[test]
fn every_mutant_has_its_line_in_the_documents() {
    let documents = include_str!("../../../../docs/simulator.md");
    let missing: Vec<String> = CATCHES.iter().map(Catch::line).filter(|line| !documents.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "docs/simulator.md is to have these lines:\n{}", missing.join("\n"));
    let unlisted: Vec<&str> =
        Mutant::ALL.iter().filter(|all| !CATCHES.iter().any(|catch| catch.mutant == **all)).map(|all| all.name()).collect();
    assert!(unlisted.is_empty(), "nobody says who must catch {unlisted:?}");
}

#[test]
fn every_mutant_is_caught() {
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(catch) = CATCHES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match catch.first() {
                        Some(report) => println!("{}: seed {}: {}", catch.mutant.name(), report.seed, report.wrong.unwrap_or_default()),
                        None => survivors.lock().expect("no thread panics while holding it").push(catch),
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("no thread panics while holding it");
    assert!(survivors.is_empty(), "nobody catches {survivors:#?}");
}

/// Lines of a history that is worth making small, and the seeds within which there is one.
const LARGE: usize = 150;
const LARGE_WITHIN: u64 = 100;

/// What makes a world fail can be read: the others' doings are left out, and the world still fails. What it takes are two whose keys are mixed up,
/// and who orders for them.
#[test]
fn a_failing_world_is_made_small() {
    let catch = CATCHES.iter().find(|catch| catch.mutant == Mutant::SkipLeafKey).expect("it is in the list");
    let runs = (0..LARGE_WITHIN).map(|seed| with(catch.mutant, || run_variant(seed, &Variant::default())));
    let is_large = |report: &Report| report.checker() == Some("records") && report.history.lines().count() > LARGE;
    let first = runs.filter(|report| report.wrong.is_some()).find(is_large).expect("it is caught in a large world");
    let (seed, lines) = (first.seed, first.history.lines().count());
    let shrunk = shrink(first, Variant::default(), |variant| with(catch.mutant, || run_variant(seed, variant)));
    let cast = &shrunk.report.cast;
    assert_eq!(shrunk.report.checker(), Some("records"));
    assert!(cast.plan.faults.len() <= 2 && cast.nodes.len() <= 3 && cast.certs.len() == 1, "{}", shrunk.told());
    assert!(shrunk.report.history.lines().count() * 2 < lines, "{lines} lines before:\n{}", shrunk.told());
    let again = with(catch.mutant, || run_variant(seed, &shrunk.variant));
    assert_eq!(again.history, shrunk.report.history, "what is left out repeats it");
    assert!(run_variant(seed, &shrunk.variant).wrong.is_none(), "without the bug all is well");
    assert!(shrunk.told().contains(&format!("--from {seed} --seeds 1 --history{}", shrunk.variant)), "{}", shrunk.told());
}
