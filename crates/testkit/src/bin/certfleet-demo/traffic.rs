//! Visitors, one after the other in quick succession, each with a connection of its own, at all three addresses in turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Served, Visitor};
use crate::journal::News;

/// Between one visitor and the next, in milliseconds.
const EVERY_MS: u64 = 20;
/// How many may be on their way at once.
const AT_ONCE_MAX: usize = 100;
/// How many failures are kept word for word.
const FAILURES_MAX: usize = 10;

/// What came of all visits.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many were answered, by address and serial number of the certificate that was shown.
    pub answered: BTreeMap<(usize, String), u64>,
    /// How many were not.
    pub failed: u64,
    /// What the first of those said.
    pub failures: Vec<String>,
}

impl Tally {
    /// How many visits there were.
    pub fn visits(&self) -> u64 {
        self.failed + self.answered.values().sum::<u64>()
    }

    /// How many saw this certificate.
    pub fn saw(&self, serial: &str) -> u64 {
        self.answered.iter().filter(|((_, seen), _)| seen == serial).map(|(_, visits)| visits).sum()
    }
}

/// Visitors that keep coming.
#[derive(Debug)]
pub struct Traffic {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Tally>,
}

impl Traffic {
    /// From now on; the first sight of each certificate at each address is news.
    pub fn start(visitor: Visitor, addresses: Vec<SocketAddr>, news: mpsc::Sender<News>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(keep_coming(visitor, addresses, news, stopped)) }
    }

    /// No more visitors; those on their way are waited for.
    pub async fn stop(mut self) -> Tally {
        let _ = self.stop.send(true);
        (&mut self.task).await.unwrap_or_default()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_coming(visitor: Visitor, addresses: Vec<SocketAddr>, news: mpsc::Sender<News>, mut stopped: watch::Receiver<bool>) -> Tally {
    let (mut tally, mut visits) = (Tally::default(), JoinSet::new());
    let mut clock = tokio::time::interval(Duration::from_millis(EVERY_MS));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for node in (0..addresses.len()).cycle() {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = clock.tick() => {}
        }
        let (visitor, address) = (visitor.clone(), addresses[node]);
        visits.spawn(async move { (node, visitor.visit(address).await) });
        while let Some(visit) = visits.try_join_next() {
            count(&mut tally, visit, &news);
        }
        if visits.len() >= AT_ONCE_MAX
            && let Some(visit) = visits.join_next().await
        {
            count(&mut tally, visit, &news);
        }
    }
    while let Some(visit) = visits.join_next().await {
        count(&mut tally, visit, &news);
    }
    tally
}

type Visit = Result<(usize, Result<Served, String>), tokio::task::JoinError>;

fn count(tally: &mut Tally, visit: Visit, news: &mpsc::Sender<News>) {
    let why = match visit {
        Ok((node, Ok(served))) => {
            let seen = tally.answered.entry((node, served.serial.clone())).or_default();
            *seen += 1;
            if *seen == 1 {
                let _ = news.try_send(News::sighting(node, &served.serial));
            }
            return;
        }
        Ok((_, Err(why))) => why,
        Err(error) => error.to_string(),
    };
    tally.failed += 1;
    if tally.failures.len() < FAILURES_MAX {
        tally.failures.push(why);
    }
}
