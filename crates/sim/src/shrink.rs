//! Making a failing world small: what is not needed for the same checker to fail is left out, piece by piece, as long as it still fails.
//!
//! Always holds: what comes out is a world that was run and failed, and the command line that repeats it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use certfleet_core::names::NodeName;

use crate::scenario::{Cast, Report};
use crate::variant::Variant;

/// Most worlds that are run for it.
const RUNS_MAX: u32 = 250;

/// The smallest failing world that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// What was left out.
    pub variant: Variant,
    /// What came of it.
    pub report: Report,
    /// How many worlds were run to find it.
    pub runs: u32,
}

impl Shrunk {
    /// Seed, commit, how to repeat it, and the history.
    pub fn told(&self) -> String {
        let Report { seed, wrong, history, .. } = &self.report;
        let (why, variant) = (wrong.as_deref().unwrap_or_default(), &self.variant);
        format!(
            "seed {seed}: {why}\ncommit {}; shrunk in {} runs; repeat it with\n  certfleet-sim --from {seed} --seeds 1 --history{variant}\n{history}",
            commit(),
            self.runs
        )
    }
}

/// Shrinks a world that failed, of which nothing is left out yet. `run` runs it with something left out.
pub fn shrink(first: Report, whole: Variant, run: impl Fn(&Variant) -> Report) -> Shrunk {
    let checker = first.checker().map(str::to_owned);
    let mut search = Search { checker, shrunk: Shrunk { variant: whole, report: first, runs: 0 }, run };
    search.end_with_the_violation();
    search.leave_out(spare_nodes, |variant, node| variant.nodes.insert(node));
    search.leave_out(spare_certificates, |variant, cert| variant.certs.insert(cert));
    search.leave_out_faults();
    search.leave_out(spare_nodes, |variant, node| variant.nodes.insert(node));
    search.shrunk
}

/// A fleet that nobody could order for fails as well, in its own way.
fn spare_nodes(cast: &Cast) -> Vec<NodeName> {
    cast.spare.clone()
}

fn spare_certificates(cast: &Cast) -> Vec<String> {
    if cast.certs.len() > 1 { cast.certs.clone() } else { Vec::new() }
}

/// The commit of the sources that this was built from, as they are now; "unknown" outside git.
fn commit() -> String {
    let asked = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]).output();
    let said = asked.ok().filter(|said| said.status.success()).and_then(|said| String::from_utf8(said.stdout).ok());
    said.map_or_else(|| "unknown".to_owned(), |said| said.trim().to_owned())
}

struct Search<F> {
    checker: Option<String>,
    shrunk: Shrunk,
    run: F,
}

impl<F: Fn(&Variant) -> Report> Search<F> {
    /// Keeps what is left out if the world still fails in the same way.
    fn tries(&mut self, variant: Variant) -> bool {
        if self.shrunk.runs >= RUNS_MAX || variant == self.shrunk.variant {
            return false;
        }
        self.shrunk.runs += 1;
        let report = (self.run)(&variant);
        let fails = report.wrong.is_some() && report.checker() == self.checker.as_deref();
        if fails {
            (self.shrunk.variant, self.shrunk.report) = (variant, report);
        }
        fails
    }

    fn end_with_the_violation(&mut self) {
        let end = Some(self.shrunk.report.simulated + Duration::from_millis(1));
        let variant = Variant { end, ..self.shrunk.variant.clone() };
        self.tries(variant);
    }

    /// Each of what can be spared, as long as it can.
    fn leave_out<T: PartialEq>(&mut self, spare: fn(&Cast) -> Vec<T>, without: fn(&mut Variant, T) -> bool) {
        for piece in spare(&self.shrunk.report.cast) {
            if spare(&self.shrunk.report.cast).contains(&piece) {
                let mut variant = self.shrunk.variant.clone();
                without(&mut variant, piece);
                self.tries(variant);
            }
        }
    }

    /// Halves first, then smaller and smaller pieces, down to single faults.
    fn leave_out_faults(&mut self) {
        let mut piece = self.faults().len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            while at < self.faults().len() {
                let faults = self.faults();
                let some = faults[at..].iter().take(piece);
                let variant =
                    Variant { faults: self.shrunk.variant.faults.iter().chain(some).copied().collect(), ..self.shrunk.variant.clone() };
                // What was left out makes room for the next at the same place.
                at += if self.tries(variant) { 0 } else { piece };
            }
            piece /= 2;
        }
    }

    /// The faults that are left, by their numbers.
    fn faults(&self) -> Vec<usize> {
        let numbers: BTreeSet<usize> = self.shrunk.report.cast.plan.faults.iter().map(|planned| planned.number).collect();
        numbers.into_iter().collect()
    }
}
