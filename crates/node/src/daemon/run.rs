//! The loop: messages in, a decision, its actions started, sleep.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::parts::{DaemonError, lock_state};
use super::surroundings::Surroundings;
use super::work::Daemon;
use crate::config::Settings;
use crate::identity::Identity;

/// How long a daemon that was told to stop may take to hand back its attempts.
const STOP_MS_MAX: u64 = 1_500;

/// What a daemon is told from outside.
#[derive(Debug)]
pub enum Control {
    /// Run with these settings from now on.
    Reload(Box<Settings>),
    /// Hand back what is held, and end.
    Stop,
}

/// Runs until told to stop. `ready` is called once, when the web servers can be started. To drop the future is to kill the daemon.
pub async fn run(
    settings: Settings,
    identity: Identity,
    mut control: mpsc::Receiver<Control>,
    ready: impl FnOnce() + Send,
    surroundings: Arc<dyn Surroundings>,
) -> Result<(), DaemonError> {
    let _lock = lock_state(&settings)?;
    let mut daemon = Daemon::new(settings, identity, surroundings)?;
    daemon.listen().await;
    let mut seen = daemon.observe();
    let mut ready = Some(ready);
    let mut stop_at: Option<Instant> = None;
    loop {
        let sleep_until = daemon.turn();
        if let Some(ready) = ready.take_if(|_| daemon.is_ready()) {
            ready();
        }
        if stop_at.is_some_and(|end| Instant::now() >= end || daemon.has_let_go()) {
            break;
        }
        if stop_at.is_none() && daemon.may_move() {
            seen = daemon.move_over().await;
            continue;
        }
        let sleep_until = stop_at.into_iter().chain(daemon.leaves_at()).fold(sleep_until, Instant::min);
        tokio::select! {
            // In order, so that a run can be repeated; what waits is drained below.
            biased;
            Some(order) = control.recv() => match order {
                Control::Reload(settings) => daemon.reload(*settings).await,
                Control::Stop => {
                    daemon.leave();
                    stop_at = Some(Instant::now() + Duration::from_millis(STOP_MS_MAX));
                }
            },
            Some(seen) = seen.recv() => daemon.saw(seen),
            Some(executed) = daemon.finished.recv() => daemon.executed(executed),
            () = tokio::time::sleep_until(sleep_until) => {}
        }
        daemon.drain(&mut seen);
    }
    tracing::info!(event = "stopped");
    Ok(())
}
