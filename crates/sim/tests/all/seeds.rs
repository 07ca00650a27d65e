//! Seeds: each is a fleet, its faults, and their end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use certfleet_sim::shrink::shrink;
use certfleet_sim::{Report, Variant, run_variant};

/// Seeds that are run, if `$SEEDS` does not say how many.
const SEEDS: u64 = 2_000;
/// The same of worlds with many rare faults, and how many times as often as usual they have them.
const RARE_SEEDS: u64 = 300;
const RARE_TIMES: u64 = 4;

/// How many of those are run twice.
const TWICE_SEEDS: u64 = 40;
/// One that told two histories: of two records of a node that were written over one, the nonce decided.
const TWO_HISTORIES: (u64, Option<u64>) = (1149, Some(RARE_TIMES));

/// First of all: a failure that cannot be repeated is worth nothing.
#[test]
fn the_same_seed_tells_the_same_history() {
    let of = |seed, rare| run_variant(seed, &Variant { rare, ..Variant::default() });
    let rare_ones = (0..TWICE_SEEDS).map(|seed| (seed, Some(RARE_TIMES)));
    for (seed, rare) in [2, 7, 11].map(|seed| (seed, None)).into_iter().chain(rare_ones).chain([TWO_HISTORIES]) {
        let (one, other) = (of(seed, rare), of(seed, rare));
        assert!(one.history == other.history, "seed {seed} tells two histories (rare: {rare:?})");
        assert!(one.history.len() > 1_000, "something happens in seed {seed}:\n{}", one.history);
    }
}

#[test]
fn fleets_keep_their_promises_and_come_to_rest() {
    let count = std::env::var("SEEDS").map_or(SEEDS, |count| count.parse().expect("a number of seeds"));
    all_is_well(count, Variant::default());
}

/// What few worlds have, many of these have, and several of it at once.
#[test]
fn so_do_fleets_with_many_rare_faults() {
    all_is_well(RARE_SEEDS, Variant { rare: Some(RARE_TIMES), ..Variant::default() });
}

fn all_is_well(count: u64, variant: Variant) {
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(Vec::<Report>::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < count) {
                    let report = run_variant(seed, &variant);
                    if report.wrong.is_some() {
                        wrong.lock().expect("no thread panics while holding it").push(report);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics while holding it");
    let many = wrong.len();
    if let Some(first) = wrong.into_iter().min_by_key(|report| report.history.len()) {
        let seed = first.seed;
        let shrunk = shrink(first, variant, |variant| run_variant(seed, variant));
        panic!("{many} of {count} seeds go wrong; the shortest, shrunk:\n{}", shrunk.told());
    }
}
