//! Blocking file work away from the run time's threads: bounded in number, and in how long anyone waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Calls that are under way at one time; further ones wait.
const BLOCKING_CALLS_MAX: usize = 32;
/// How long a caller waits. A hard-mounted NFS server that is away blocks for as long as it is away.
const CALL_SECONDS_MAX: u64 = 30;

#[derive(Debug, Clone)]
pub(super) struct Pool {
    slots: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(BLOCKING_CALLS_MAX)) }
    }
}

impl Pool {
    /// Runs `work`; an error says that it has not come back, not that it will not take place.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let slots = self.slots.clone();
        let answer = timeout(Duration::from_secs(CALL_SECONDS_MAX), async move {
            let slot = slots.acquire_owned().await.map_err(|e| e.to_string())?;
            let task = tokio::task::spawn_blocking(move || {
                let done = work();
                drop(slot);
                done
            });
            task.await.map_err(|e| format!("the call on the store's directory broke: {e}"))
        });
        answer.await.unwrap_or_else(|_| Err(format!("the file system has not answered for {CALL_SECONDS_MAX} s")))
    }
}
