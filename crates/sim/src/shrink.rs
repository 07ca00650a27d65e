//! Making a failing world small: what is not needed for the same checker to fail is left out, piece by piece, as long as it still fails.
//!
//! Always holds: what comes out is a world that was run and failed, and the command line that repeats it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use certfleet_core::names::NodeName;

use crate::less::Less;
use crate::scenario::{Cast, Report};

/// Most worlds that are run for it.
const RUNS_MAX: u32 = 250;

/// The smallest failing world that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// What was left out.
    pub less: Less,
    /// What came of it.
    pub report: Report,
    /// How many worlds were run to find it.
    pub runs: u32,
}

impl Shrunk {
    /// Seed, commit, how to repeat it, and the history.
    pub fn told(&self) -> String {
        let Report { seed, wrong, history, .. } = &self.report;
        let (why, less) = (wrong.as_deref().unwrap_or_default(), &self.less);
        format!(
            "seed {seed}: {why}\ncommit {}; shrunk in {} runs; repeat it with\n  certfleet-sim --from {seed} --seeds 1 --history{less}\n{history}",
            commit(),
            self.runs
        )
    }
}

/// Shrinks a world that failed. `run` runs it with something left out.
pub fn shrink(first: Report, run: impl Fn(&Less) -> Report) -> Shrunk {
    let mut search =
        Search { checker: first.checker().map(str::to_owned), shrunk: Shrunk { less: Less::default(), report: first, runs: 0 }, run };
    search.end_with_the_violation();
    search.leave_out(spare_nodes, |less, node| less.nodes.insert(node));
    search.leave_out(spare_certificates, |less, cert| less.certs.insert(cert));
    search.leave_out_faults();
    search.leave_out(spare_nodes, |less, node| less.nodes.insert(node));
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

impl<F: Fn(&Less) -> Report> Search<F> {
    /// Keeps what is left out if the world still fails in the same way.
    fn tries(&mut self, less: Less) -> bool {
        if self.shrunk.runs >= RUNS_MAX || less == self.shrunk.less {
            return false;
        }
        self.shrunk.runs += 1;
        let report = (self.run)(&less);
        let fails = report.wrong.is_some() && report.checker() == self.checker.as_deref();
        if fails {
            (self.shrunk.less, self.shrunk.report) = (less, report);
        }
        fails
    }

    fn end_with_the_violation(&mut self) {
        let end = Some(self.shrunk.report.simulated + Duration::from_millis(1));
        let less = Less { end, ..self.shrunk.less.clone() };
        self.tries(less);
    }

    /// Each of what can be spared, as long as it can.
    fn leave_out<T: PartialEq>(&mut self, spare: fn(&Cast) -> Vec<T>, without: fn(&mut Less, T) -> bool) {
        for piece in spare(&self.shrunk.report.cast) {
            if spare(&self.shrunk.report.cast).contains(&piece) {
                let mut less = self.shrunk.less.clone();
                without(&mut less, piece);
                self.tries(less);
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
                let less = Less { faults: self.shrunk.less.faults.iter().chain(some).copied().collect(), ..self.shrunk.less.clone() };
                // What was left out makes room for the next at the same place.
                at += if self.tries(less) { 0 } else { piece };
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
