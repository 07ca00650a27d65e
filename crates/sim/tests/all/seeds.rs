//! Seeds: each is a fleet, its faults, and their end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use certfleet_sim::shrink::shrink;
use certfleet_sim::{Report, run, run_less};

/// Seeds that are run, if `$SEEDS` does not say how many.
const SEEDS: u64 = 2_000;

/// First of all: a failure that cannot be repeated is worth nothing.
#[test]
fn the_same_seed_tells_the_same_history() {
    for seed in [2, 7, 11] {
        let (one, other) = (run(seed), run(seed));
        assert!(one.history == other.history, "seed {seed} tells two histories");
        assert!(one.history.len() > 1_000, "something happens in seed {seed}:\n{}", one.history);
    }
}

#[test]
fn fleets_keep_their_promises_and_come_to_rest() {
    let count = std::env::var("SEEDS").map_or(SEEDS, |count| count.parse().expect("a number of seeds"));
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(Vec::<Report>::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < count) {
                    let report = run(seed);
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
        panic!("{many} of {count} seeds go wrong; the shortest, shrunk:\n{}", shrink(first, |less| run_less(seed, less)).told());
    }
}
