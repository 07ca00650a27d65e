//! Visitors of a fleet: they read what each node serves, and ask for a challenge's answer, over and over, and remember the first time that
//! something was not as it should be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use certfleet_core::time::Timestamp;
use certfleet_core::x509::Leaf;
use certfleet_testkit::eventually;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{ANSWERER, CERTS};
use crate::LIMIT;
use crate::client::get;
use crate::fleet::Fleet;

/// How often they come.
const EVERY: Duration = Duration::from_millis(50);
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

/// The visitors of one fleet.
pub struct Visitors {
    rounds: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    coming: JoinHandle<Result<(), String>>,
}

impl Visitors {
    /// They begin to come: every node serves everything by now.
    pub fn start(fleet: &Fleet) -> Self {
        let served = fleet.numbers().flat_map(|n| CERTS.map(|cert| fleet.dir(n).join("live").join(format!("{cert}.pem"))));
        let served: Vec<PathBuf> = served.collect();
        let (rounds, stop, answerer) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), fleet.lab.address(ANSWERER));
        let coming = tokio::spawn(come(served, answerer, rounds.clone(), stop.clone()));
        Self { rounds, stop, coming }
    }

    /// Waits until they have come once more; or until something was not as it should be, which the end tells.
    pub async fn are_content(&self) {
        let wanted = self.rounds.load(Ordering::Relaxed) + 2;
        let came = || async { (self.coming.is_finished() || self.rounds.load(Ordering::Relaxed) >= wanted).then_some(()) };
        eventually("visitors come", LIMIT, came).await;
    }

    /// They have always got what they came for.
    pub async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.coming.await.expect("visitors do not panic");
        assert_eq!(seen, Ok(()), "after {} rounds", self.rounds.load(Ordering::Relaxed));
    }
}

async fn come(served: Vec<PathBuf>, answerer: SocketAddr, rounds: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Result<(), String> {
    let mut seen: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        for path in &served {
            look(path, seen.entry(path).or_default()).map_err(|why| format!("{}: {why}", path.display()))?;
        }
        for cert in CERTS {
            match get(answerer, cert, CHALLENGE).await {
                Ok(answer) if answer.status == 200 => {}
                other => return Err(format!("{answerer} does not answer for {cert}: {other:?}")),
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A whole chain of the CA's that is valid now, with its key, and no older one than before.
fn look(path: &Path, seen: &mut Vec<String>) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let leaf = Leaf::from_pem(&text).map_err(|error| error.to_string())?;
    if seen.last() == Some(&leaf.serial) {
        return Ok(());
    }
    let block =
        text.split_inclusive("-----END PRIVATE KEY-----").find_map(|part| part.find("-----BEGIN PRIVATE KEY-----").map(|at| &part[at..]));
    let key = block.map(|block| certfleet_acme::spki_of_key(&block.to_owned().into()));
    match () {
        () if !matches!(&key, Some(Ok(key)) if *key == leaf.key) => Err("the key is not the certificate's".into()),
        () if leaf.self_signed || text.matches("BEGIN CERTIFICATE").count() < 2 => Err("no chain of the CA's".into()),
        () if leaf.not_after <= Timestamp::now() => Err(format!("{} has expired", leaf.serial)),
        () if seen.contains(&leaf.serial) => Err(format!("{} is served again after {seen:?}", leaf.serial)),
        () => {
            seen.push(leaf.serial);
            Ok(())
        }
    }
}
