//! What a process's tasks go through: open, it runs; shut, it stands still and the world goes on; gone, it never runs again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A process, as its tasks know it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    state: Process,
    waiting: Vec<Waker>,
}

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Process {
    /// It runs.
    #[default]
    Runs,
    /// Stopped (SIGSTOP, a frozen virtual machine).
    StandsStill,
    /// Killed.
    Gone,
}

impl Gate {
    /// How the process is now.
    pub fn process(&self) -> Process {
        self.lock().state
    }

    /// Stops it, lets it go on, or ends it. Who is gone stays gone.
    pub fn set(&self, process: Process) {
        let mut state = self.lock();
        if state.state != Process::Gone {
            state.state = process;
        }
        std::mem::take(&mut state.waiting).into_iter().for_each(Waker::wake);
    }

    /// A task of this process.
    pub fn task<F: Future<Output = ()>>(&self, future: F) -> Gated<F> {
        Gated { gate: self.clone(), future: Box::pin(future) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that goes on only while its process runs.
#[derive(Debug)]
pub struct Gated<F> {
    gate: Gate,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Gated<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.gate.lock();
        if state.state != Process::Runs {
            state.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_goes_on_later_and_who_is_gone_never() {
        let (gate, start) = (Gate::default(), Instant::now());
        let (told, mut heard) = tokio::sync::mpsc::channel(4);
        tokio::spawn(gate.task(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                let _ = told.send(start.elapsed().as_secs()).await;
            }
        }));
        assert_eq!(heard.recv().await, Some(1));
        gate.set(Process::StandsStill);
        sleep(Duration::from_secs(10)).await;
        gate.set(Process::Runs);
        assert_eq!(heard.recv().await, Some(11), "the time of its sleep was over meanwhile");
        gate.set(Process::Gone);
        gate.set(Process::Runs);
        assert!(tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.is_err());
    }
}
