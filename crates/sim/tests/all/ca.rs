//! The simulated CA passes the suite that the client passes against pebble.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certfleet_acme::CertificateAuthority;
use certfleet_acme::conformance::{Environment, all};
use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::time::Timestamp;
use certfleet_sim::ca::{Ca, Client, Habits, Internet};
use certfleet_sim::draw::Draw;
use certfleet_sim::gate::Gate;
use certfleet_sim::history::History;
use certfleet_sim::link::Link;

/// Names, and the thumbprint that each is answered with.
#[derive(Debug, Default)]
struct Hosts(Mutex<BTreeMap<Identifier, Option<String>>>);

impl Hosts {
    fn add(&self, thumbprint: Option<&str>) -> Identifier {
        let mut hosts = self.0.lock().expect("nobody panics while holding it");
        let name: Identifier = format!("h{}.example", hosts.len()).parse().expect("a name");
        hosts.insert(name.clone(), thumbprint.map(str::to_owned));
        name
    }
}

impl Internet for Hosts {
    fn ask(&self, host: &Identifier, token: &str) -> Result<String, String> {
        let hosts = self.0.lock().expect("nobody panics while holding it");
        match hosts.get(host) {
            Some(Some(thumbprint)) => Ok(format!("{token}.{thumbprint}")),
            _ => Err("connection refused".into()),
        }
    }

    fn taken(&self, _: &str, _: &SpkiHash) {}

    fn issued(&self, _: &str, _: &SpkiHash, _: u64) {}
}

#[derive(Debug)]
struct Lab {
    hosts: Arc<Hosts>,
    ca: Arc<Ca>,
    history: Arc<History>,
}

#[async_trait]
impl Environment for Lab {
    fn client(&self) -> Box<dyn CertificateAuthority> {
        let link = Link::new("node", "ca", &Gate::default(), &self.history, Draw::new(2));
        Box::new(Client::new(&self.ca, &Arc::new(link)))
    }

    async fn answered_name(&self, thumbprint: &str) -> Identifier {
        self.hosts.add(Some(thumbprint))
    }

    async fn failing_name(&self) -> Identifier {
        self.hosts.add(None)
    }

    async fn issued(&self) -> usize {
        self.ca.issued()
    }
}

#[tokio::test(start_paused = true)]
async fn the_ca_passes_the_issuance_suite() {
    let hosts = Arc::new(Hosts::default());
    let hour = Duration::from_secs(3600);
    let habits = Habits {
        wall: Timestamp::from_second(1_767_225_600).expect("a moment"),
        lifetime: 24 * hour,
        order_life: 8 * hour,
        authorization_life: Duration::ZERO,
        pace_ms: 500,
        vantage_points: 3,
    };
    let ca = Ca::new(habits, hosts.clone(), Draw::new(1));
    all(&Lab { hosts, ca, history: Arc::default() }).await;
}
