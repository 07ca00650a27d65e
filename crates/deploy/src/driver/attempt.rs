//! One try to install a group of certificates together.

use super::{Backend, Driver, Job, blocking};
use crate::disk;
use crate::hook::Activation;
use crate::material::Material;
use crate::verify::Seen;

impl<B: Backend> Driver<B> {
    /// Places, checks and activates the group. Gives those that failed together, are put back, and should be tried apart; every other job of
    /// the group has its result.
    pub(super) async fn attempt(&self, jobs: &mut [Job<'_>], group: &[usize]) -> Vec<usize> {
        let placed = self.place(jobs, group).await;
        if placed.is_empty() {
            return Vec::new();
        }
        if let Err(problem) = self.check(jobs, &placed).await {
            self.put_back(jobs, &placed, &problem).await;
            let to_blame = placed.len() > 1 && self.check(jobs, &placed).await != Err(problem);
            return if to_blame { placed } else { Vec::new() };
        }
        let failed = self.activate(jobs, &placed).await;
        if failed.is_empty() {
            return failed;
        }
        let problem = self.undo(jobs, &failed).await;
        let to_blame = failed.len() > 1 && problem.is_none_or(|problem| jobs[failed[0]].result != Some(Err(problem)));
        if to_blame { failed } else { Vec::new() }
    }

    /// Brings the files of each into place; those whose files cannot be written have failed, and keep nobody else out.
    async fn place(&self, jobs: &mut [Job<'_>], group: &[usize]) -> Vec<usize> {
        let mut placed = Vec::new();
        for index in group {
            let files = jobs[*index].files.clone();
            match blocking(move || disk::place(&files)).await {
                Ok(changed) => {
                    jobs[*index].changed = changed;
                    placed.push(*index);
                }
                Err(e) => jobs[*index].result = Some(Err(e.to_string())),
            }
        }
        placed
    }

    async fn check(&self, jobs: &[Job<'_>], group: &[usize]) -> Result<(), String> {
        let group: Vec<&Job<'_>> = group.iter().map(|index| &jobs[*index]).collect();
        self.backend.check(&self.environment(&group)).await
    }

    /// Tells the server, and settles what it took. Gives those that it did not take.
    async fn activate(&self, jobs: &mut [Job<'_>], placed: &[usize]) -> Vec<usize> {
        let down = self.is_down(jobs[placed[0]].material).await;
        let results = self.tell(jobs, placed).await;
        let mut failed = Vec::new();
        for (index, result) in placed.iter().zip(results) {
            let job = &mut jobs[*index];
            job.activations += u32::from(result != Ok(Activation::Nothing));
            job.result = Some(match (result, &down) {
                (Err(_), Some(how)) => Ok(Activation::NotRunning(how.clone())),
                (result, _) => result,
            });
            if job.has_failed() {
                failed.push(*index);
            } else {
                self.settle(job).await;
            }
        }
        failed
    }

    async fn tell(&self, jobs: &[Job<'_>], group: &[usize]) -> Vec<Result<Activation, String>> {
        let group: Vec<&Job<'_>> = group.iter().map(|index| &jobs[*index]).collect();
        self.backend.activate(&group, &self.environment(&group)).await
    }

    /// A reload command cannot say that its server does not run; that nobody listened *before* it says so. (After it, the certificate itself
    /// may have brought the server down.)
    async fn is_down(&self, material: &Material) -> Option<String> {
        match self.verify.look(&[material]).await.pop() {
            Some(Seen::NotRunning(how)) => Some(how),
            _ => None,
        }
    }

    /// Second names that cannot be removed make the next converge activate once more; that is all the harm.
    async fn settle(&self, job: &mut Job<'_>) {
        let files = job.files.clone();
        if let Err(e) = blocking(move || disk::settle(&files)).await {
            tracing::warn!(target = %self.name, cert = %job.material.cert, error = %e, "old files were not cleaned up");
        }
    }

    /// Puts old files back for those with a failed activation, and tells the server again. Gives why that failed.
    async fn undo(&self, jobs: &mut [Job<'_>], failed: &[usize]) -> Option<String> {
        let problems: Vec<_> = failed.iter().map(|index| jobs[*index].result.clone()).collect();
        for (index, problem) in failed.iter().zip(problems) {
            let Some(Err(problem)) = problem else { continue };
            self.put_back(jobs, &[*index], &problem).await;
        }
        self.tell(jobs, failed).await.into_iter().find_map(Result::err)
    }

    /// A reload may be no more than a signal, which a busy server obeys late: it may have read files that were put back since, and refused
    /// the whole. So whenever files were put back soon after an activation, one more follows when all files are right.
    pub(super) async fn tell_again(&self, jobs: &mut [Job<'_>], indices: &[usize]) {
        let activated: Vec<usize> = indices.iter().copied().filter(|index| jobs[*index].is_activated()).collect();
        let group = if activated.is_empty() { indices } else { &activated };
        let results = self.tell(jobs, group).await;
        for index in &activated {
            jobs[*index].activations += 1;
        }
        // Whether it is served is looked at after this; that is what counts.
        if let Some(problem) = results.into_iter().find_map(Result::err) {
            tracing::warn!(target = %self.name, error = problem, "a second activation after files were put back failed");
        }
    }

    async fn put_back(&self, jobs: &mut [Job<'_>], group: &[usize], problem: &str) {
        for index in group {
            let files = jobs[*index].files.clone();
            let undone = blocking(move || disk::put_back(&files)).await;
            let and = undone.as_ref().err().map(|e| format!("; and the old files are not back: {e}")).unwrap_or_default();
            jobs[*index].changed = undone.is_err() && jobs[*index].changed;
            jobs[*index].result = Some(Err(format!("{problem}{and}")));
        }
    }
}
