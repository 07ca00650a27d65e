//! What all kinds do alike: stage, put in place, check, activate, verify, report; and put back.
//!
//! A kind adds a [`Backend`]: which files, how to check, how to activate. The driver holds the order and the failures:
//!
//! * a batch is written, checked once and activated once; where that fails, everything is put back, and, unless the old files fail in the
//!   same way (then the certificates are not to blame), the halves are tried apart until the bad ones are alone;
//! * old files stay beside the new ones until the server has taken those (`disk`), so that an interrupted change is activated or undone later;
//! * a server that does not run is no failure.

mod attempt;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use certfleet_core::names::{CertName, Identifier, NodeName, TargetName};
use certfleet_core::secret::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Common;
use crate::disk::{self, Wanted};
use crate::hook::{Activation, Environment};
use crate::material::{DeployError, Material, Outcome, State, Target};
use crate::stand_in;
use crate::verify::{Seen, Verify};

/// How long after an activation the new certificate may take to be seen before something else is believed.
const SETTLE_MS_MAX: u64 = 5_000;
/// How often it is looked for meanwhile.
const LOOK_EVERY_MS: u64 = 50;
/// How often in a row it must be seen after an activation.
const LOOKS_AFTER_ACTIVATION: u32 = 3;

/// What a kind adds to the driver.
#[async_trait]
pub(crate) trait Backend: Debug + Send + Sync + 'static {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// The files of one certificate; never empty, the one that names the lineage first.
    fn files(&self, cert: &CertName, node: &NodeName, pem: Pem<'_>) -> Vec<Wanted>;

    /// Asks the server's own check about the files in place.
    async fn check(&self, env: &Environment) -> Result<(), String>;

    /// Tells the server to take the files in place; one answer for each job, in order.
    async fn activate(&self, jobs: &[&Job<'_>], env: &Environment) -> Vec<Result<Activation, String>>;

    /// Whether the server is known to hold something else than the files, which are right.
    async fn is_stale(&self, _job: &Job<'_>) -> bool {
        false
    }
}

/// A chain and its key.
#[derive(Clone, Copy)]
pub(crate) struct Pem<'a> {
    pub chain: &'a str,
    pub key: &'a Secret,
}

/// One certificate on its way through the driver.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub material: &'a Material,
    pub files: Arc<[Wanted]>,
    changed: bool,
    activations: u32,
    result: Option<Result<Activation, String>>,
}

impl Job<'_> {
    /// What hooks know as the lineage: the directory of the files, or the one file.
    fn lineage(&self) -> &Path {
        let path = &self.files[0].path;
        if self.files.len() > 1 { path.parent().unwrap_or(path) } else { path }
    }

    fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    fn is_activated(&self) -> bool {
        self.result == Some(Ok(Activation::Done))
    }

    fn looks_wanted(&self) -> u32 {
        if self.is_activated() { LOOKS_AFTER_ACTIVATION } else { 1 }
    }
}

/// A target of some kind.
#[derive(Debug)]
pub(crate) struct Driver<B> {
    name: TargetName,
    backend: B,
    verify: Verify,
    grace: Duration,
    /// One at a time; holds when the last activation has settled.
    turn: Mutex<Option<Instant>>,
}

impl<B: Backend> Driver<B> {
    pub fn new(name: TargetName, backend: B, common: &Common) -> Self {
        Self { name, backend, verify: common.verify.clone(), grace: common.grace, turn: Mutex::new(None) }
    }

    fn jobs<'a>(&self, batch: &'a [Material]) -> Vec<Job<'a>> {
        let mut paths = BTreeSet::new();
        let mut jobs = Vec::with_capacity(batch.len());
        for material in batch {
            let pem = Pem { chain: &material.chain_pem, key: &material.key_pem };
            let files: Arc<[Wanted]> = self.backend.files(&material.cert, &material.node, pem).into();
            let twice = files.iter().find(|file| !paths.insert(file.path.clone()));
            let told =
                twice.map(|file| format!("two certificates would be written to {}; put {{name}} into its path", file.path.display()));
            jobs.push(Job { material, files, changed: false, activations: 0, result: told.map(Err) });
        }
        jobs
    }

    fn environment(&self, jobs: &[&Job<'_>]) -> Environment {
        let batch: Vec<&Material> = jobs.iter().map(|job| job.material).collect();
        let lineages: Vec<&Path> = jobs.iter().map(|job| job.lineage()).collect();
        Environment::new(self.name.as_str(), &batch, &lineages)
    }

    /// Which jobs have something to do: files to write, an interrupted change to finish, a server that holds something else.
    async fn unfinished(&self, jobs: &mut [Job<'_>]) -> Vec<usize> {
        let mut found = Vec::new();
        for (index, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.result.is_none()) {
            let files = job.files.clone();
            let looked = blocking(move || {
                let interrupted = files.iter().any(Wanted::is_interrupted);
                files.iter().try_fold(interrupted, |found, file| Ok(found | file.differs()?))
            });
            match looked.await {
                Ok(true) => found.push(index),
                Ok(false) if self.backend.is_stale(job).await => found.push(index),
                Ok(false) => job.result = Some(Ok(Activation::Nothing)),
                Err(e) => job.result = Some(Err(e.to_string())),
            }
        }
        found
    }

    /// Installs the jobs with these indices; each has a result afterwards. Halving bounds it: at most two attempts for each job.
    async fn install(&self, jobs: &mut [Job<'_>], indices: Vec<usize>) {
        let mut groups = VecDeque::from([indices]);
        while let Some(group) = groups.pop_front() {
            let suspects = self.attempt(jobs, &group).await;
            if suspects.len() > 1 {
                let (left, right) = suspects.split_at(suspects.len() / 2);
                groups.extend([left.to_vec(), right.to_vec()]);
            }
        }
    }

    async fn install_and_look(&self, jobs: &mut [Job<'_>], indices: Vec<usize>, settled: &mut Option<Instant>) -> Vec<Seen> {
        self.install(jobs, indices.clone()).await;
        let recent = jobs.iter().any(Job::is_activated) || settled.is_some_and(|end| Instant::now() < end);
        if recent && indices.iter().any(|index| jobs[*index].has_failed()) {
            self.tell_again(jobs, &indices).await;
        }
        if jobs.iter().any(Job::is_activated) {
            *settled = Some(Instant::now() + Duration::from_millis(SETTLE_MS_MAX));
        }
        self.look(jobs, *settled).await
    }

    /// Looks at all jobs that did not fail. Until `settled`, something else being served is only "not yet"; and one that was just activated
    /// must be seen several times, since an old worker of the server may take connections for a moment longer.
    async fn look(&self, jobs: &[Job<'_>], settled: Option<Instant>) -> Vec<Seen> {
        let mut seen = vec![Seen::NotAsked(String::new()); jobs.len()];
        let mut in_a_row = vec![0; jobs.len()];
        let mut open: Vec<usize> = (0..jobs.len()).filter(|index| !jobs[*index].has_failed()).collect();
        loop {
            let batch: Vec<&Material> = open.iter().map(|index| jobs[*index].material).collect();
            for (index, sight) in open.iter().zip(self.verify.look(&batch).await) {
                in_a_row[*index] = if sight == Seen::Served { in_a_row[*index] + 1 } else { 0 };
                seen[*index] = sight;
            }
            open.retain(|index| match seen[*index] {
                Seen::Served => in_a_row[*index] < jobs[*index].looks_wanted(),
                Seen::NotAsked(_) | Seen::NotRunning(_) => false,
                Seen::Trouble(_) | Seen::Other(_) => true,
            });
            if open.is_empty() || settled.is_none_or(|end| Instant::now() >= end) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
    }

    fn outcome(&self, job: Job<'_>, seen: Seen) -> Outcome {
        let result = job.result.unwrap_or(Ok(Activation::Nothing));
        let (state, reason) = match (result, seen) {
            (Err(problem), _) => (State::Failed, Some(problem)),
            (Ok(_), Seen::Served) => (State::Verified, None),
            (Ok(Activation::NotRunning(how)), Seen::NotAsked(_)) => (State::Installed, Some(format!("not running ({how})"))),
            (Ok(_), Seen::NotAsked(why)) => (State::Installed, Some(why)),
            (Ok(_), Seen::NotRunning(how)) => (State::Installed, Some(format!("not running ({how})"))),
            (Ok(Activation::NotRunning(how)), Seen::Other(what) | Seen::Trouble(what)) => {
                (self.unless_grace(&job.files), Some(format!("{what}; it could not be told to reload, since {how}")))
            }
            (Ok(_), Seen::Other(what) | Seen::Trouble(what)) => (self.unless_grace(&job.files), Some(what)),
        };
        let (cert, generation) = (job.material.cert.clone(), job.material.generation);
        Outcome { cert, generation, state, reason, changed: job.changed, activations: job.activations }
    }

    /// Something else is served: a failure, unless the files are so new that the grace period still runs.
    fn unless_grace(&self, files: &[Wanted]) -> State {
        let written = std::fs::metadata(&files[0].path).and_then(|meta| meta.modified());
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age < self.grace) { State::Installed } else { State::Failed }
    }
}

#[async_trait]
impl<B: Backend> Target for Driver<B> {
    fn name(&self) -> &TargetName {
        &self.name
    }

    fn verifies(&self) -> bool {
        !self.verify.is_off()
    }

    fn kind(&self) -> &'static str {
        self.backend.kind()
    }

    async fn converge(&self, batch: &[Material]) -> Vec<Outcome> {
        let mut settled = self.turn.lock().await;
        let mut jobs = self.jobs(batch);
        let unfinished = self.unfinished(&mut jobs).await;
        let mut seen = self.install_and_look(&mut jobs, unfinished, &mut settled).await;
        // Right on disk, and yet something else is served: a reload was lost (a crash, a server that was starting). Tell it again, once.
        let missed = |(index, job): (usize, &Job<'_>)| {
            let lost = job.activations == 0 && job.result == Some(Ok(Activation::Nothing)) && matches!(seen[index], Seen::Other(_));
            lost.then_some(index)
        };
        let missed: Vec<usize> = jobs.iter().enumerate().filter_map(missed).collect();
        if !missed.is_empty() {
            seen = self.install_and_look(&mut jobs, missed, &mut settled).await;
        }
        jobs.into_iter().zip(seen).map(|(job, seen)| self.outcome(job, seen)).collect()
    }

    async fn verify(&self, batch: &[Material]) -> Vec<Outcome> {
        let settled = self.turn.lock().await;
        let mut jobs = self.jobs(batch);
        for index in self.unfinished(&mut jobs).await {
            jobs[index].result = Some(Err(format!("{} is not as it should be, or not taken up yet", jobs[index].files[0].path.display())));
        }
        let seen = self.look(&jobs, *settled).await;
        jobs.into_iter().zip(seen).map(|(job, seen)| self.outcome(job, seen)).collect()
    }

    async fn stand_in(&self, cert: &CertName, node: &NodeName, names: &[Identifier]) -> Result<bool, DeployError> {
        let _turn = self.turn.lock().await;
        let (chain, key) = stand_in::make(cert, names)?;
        let files = self.backend.files(cert, node, Pem { chain: &chain, key: &key });
        blocking(move || {
            // With the old files, which fit together, the server can start.
            disk::put_back(&files)?;
            // `exists` follows links: one that leads nowhere is no file for the server.
            if files.iter().any(|file| file.path.exists()) {
                return Ok(false);
            }
            disk::place(&files)?;
            disk::settle(&files)?;
            Ok(true)
        })
        .await
    }
}

/// Runs disk work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, DeployError> + Send + 'static) -> Result<T, DeployError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(DeployError::Stopped(e.to_string())))
}
