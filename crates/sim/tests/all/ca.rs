//! The simulated CA passes the suite that the client passes against pebble; and what the suite does not ask: limits, outages, bad nonces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use certfleet_acme::conformance::{Environment, all};
use certfleet_acme::{AccountKey, AccountRef, CertificateAuthority};
use certfleet_core::ca::{CaError, OrderStatus, Problem};
use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::time::Timestamp;
use certfleet_sim::ca::{Ca, Client, Grants, Habits, Internet, Limit, Mood};
use certfleet_sim::draw::Draw;
use certfleet_sim::gate::Gate;
use certfleet_sim::history::History;
use certfleet_sim::link::Link;

const HOUR: Duration = Duration::from_secs(3600);

/// Names, and the thumbprint that each is answered with; and which limits refused an order.
#[derive(Debug, Default)]
struct Hosts(Mutex<BTreeMap<Identifier, Option<String>>>, Mutex<Vec<Limit>>);

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

    fn limited(&self, limit: Limit, _: &str) {
        self.1.lock().expect("nobody panics while holding it").push(limit);
    }
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

fn lab() -> Lab {
    let hosts = Arc::new(Hosts::default());
    let habits = Habits {
        wall: Timestamp::from_second(1_767_225_600).expect("a moment"),
        lifetime: 24 * HOUR,
        order_life: 8 * HOUR,
        authorization_life: Duration::ZERO,
        pace_ms: 500,
        vantage_points: 3,
    };
    let ca = Ca::new(habits, hosts.clone(), Draw::new(1));
    Lab { hosts, ca, history: Arc::default() }
}

async fn account(lab: &Lab) -> AccountRef {
    let key = AccountKey::generate().expect("a key");
    let url = lab.client().register(&key, &[], true).await.expect("it is registered");
    AccountRef { url, key }
}

#[tokio::test(start_paused = true)]
async fn the_ca_passes_the_issuance_suite() {
    all(&lab()).await;
}

/// Of a lifetime of 24 hours and one node: four orders at once, one more after 24 h / 2 / 2 / 16, which is 22.5 minutes.
#[tokio::test(start_paused = true)]
async fn an_order_beyond_the_limit_is_refused_with_a_time() {
    let lab = lab();
    lab.ca.limit(Grants::Strict(24 * HOUR, 1));
    let (account, client) = (account(&lab).await, lab.client());
    let mut answers = Vec::new();
    for n in 0..5 {
        let name: Identifier = format!("n{n}.d{n}.example").parse().expect("a name");
        answers.push(client.new_order(&account, &[name], None).await);
    }
    let Some(Err(CaError::Busy { problem, retry_after: Some(wait) })) = answers.pop() else { panic!("{answers:?}") };
    assert_eq!((problem.kind.as_str(), problem.status), ("rateLimited", Some(429)));
    assert!(
        answers.iter().all(Result::is_ok) && wait <= HOUR * 3 / 8 && wait > HOUR * 3 / 8 - Duration::from_secs(1),
        "{wait:?} {answers:?}"
    );
    assert_eq!(*lab.hosts.1.lock().expect("nobody panics while holding it"), [Limit::Orders]);
    tokio::time::sleep(wait).await;
    let late = client.new_order(&account, &["n4.d4.example".parse().expect("a name")], None).await;
    assert_eq!(late.map(|order| order.status), Ok(OrderStatus::Pending));
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_announced_says_how_long_it_lasts() {
    let lab = lab();
    let account = account(&lab).await;
    lab.ca.set(Mood::Maintenance(HOUR));
    let away = Err(CaError::Busy { problem: Problem::new("", "", Some(503)), retry_after: Some(HOUR) });
    assert_eq!(lab.client().date().await.map(|_| ()), away);
    assert_eq!(lab.client().find_account(&account.key).await.map(|_| ()), away);
    lab.ca.set(Mood::Works);
    assert_eq!(lab.client().find_account(&account.key).await, Ok(Some(account.url)));
}

/// What the client says when no nonce of twenty-four was good.
#[tokio::test(start_paused = true)]
async fn nonces_that_the_ca_forgets_are_a_refusal_now_and_then() {
    let lab = lab();
    let account = account(&lab).await;
    lab.ca.set(Mood::Forgetful);
    let mut refused = 0;
    for _ in 0..100 {
        match lab.client().find_account(&account.key).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(&account.url)),
            Err(CaError::Refused(problem)) => {
                assert_eq!((problem.kind.as_str(), problem.status), ("badNonce", Some(400)));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(lab.client().date().await.is_ok(), "the directory wants no nonce");
    }
    assert!((20..60).contains(&refused), "{refused} of 100");
}
