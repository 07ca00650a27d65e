//! Whole fleets on the engines that a fleet may run, each a real server that goes wrong in the middle of renewals: [`Scene`] is the fleet and
//! what must hold of it ([`books`], [`visitors`]), [`cut`] takes the store away from one node alone. What goes wrong is each engine's own.
//!
//! Always holds: what goes wrong does so at a named point of a renewal (`certfleet_node::crash`), never after a pause; and after each fault
//! the same is asked of the fleet: one certificate for each attempt, every key there, no visitor turned away, and all of it by itself.

mod away;
mod books;
mod central;
mod copy;
mod cut;
mod etcd;
mod file;
mod places;
mod postgres;
mod redis;
mod s3;
mod switch;
mod visitors;

use std::collections::BTreeMap;

use crate::fleet::{Config, Fleet, Lab, config};
use books::Books;
use visitors::Visitors;

/// The certificates of each fleet, all renewed at the same time.
pub const CERTS: [&str; 4] = ["a.store.example.com", "b.store.example.com", "c.store.example.com", "d.store.example.com"];
/// The nodes that issue.
pub const DRIVERS: [u8; 3] = [1, 2, 3];
/// Answers the CA, and does not issue: a node that is cut off or down and is asked by the CA would fail the order, and rightly.
pub const ANSWERER: u8 = 4;
/// Where a renewal is met: its key is stored, the CA gave an order that stands nowhere yet, it may be finalized, the CA has issued, it is about
/// to be placed.
pub const POINTS: [&str; 5] = ["after-store-key", "before-cas-ordered", "before-cas-finalizing", "after-ca-finalize", "before-cas-placed"];
/// What visitors read: key and chain in one file, so that each reading is of one moment.
const SERVED: &str = "[deploy.served]\nkind = \"files\"\ncombined = \"{lab}/{node}/live/{name}.pem\"\n";

/// A fleet that has all of its certificates, and visitors who look at it without a pause.
pub struct Scene {
    /// The fleet.
    pub fleet: Fleet,
    visitors: Visitors,
    placed: BTreeMap<&'static str, u64>,
}

impl Scene {
    /// On this store; `None`, loudly, where pebble is not installed.
    pub async fn start(url: &str) -> Option<Self> {
        Self::start_with(url, |_, _| {}).await
    }

    /// The same, with a configuration that is changed before the fleet is made.
    pub async fn start_with(url: &str, tune: impl FnOnce(&mut Config, &Lab)) -> Option<Self> {
        let lab = Lab::new(ANSWERER, |_| {}).await?;
        let mut config = Config { store: url.to_owned(), deploy: format!("{}{SERVED}", config::PLAIN), ..Config::plain(CERTS[0]) };
        config.certificates = CERTS.iter().map(|name| config::Certificate::plain(name)).collect();
        config.certificates.iter_mut().for_each(|certificate| certificate.deploy.push("served"));
        config.overlays.insert(ANSWERER, "roles = [\"answer\", \"deploy\"]\n".into());
        tune(&mut config, &lab);
        let mut fleet = Fleet::with(lab, config, ANSWERER).await;
        for cert in CERTS {
            fleet.lab.pebble.set_a(cert, &[fleet.lab.site.host(ANSWERER)]).await;
        }
        fleet.start_all();
        for cert in CERTS {
            fleet.all_have_of(cert, 1).await;
        }
        let visitors = Visitors::start(&fleet);
        let mut scene = Self { fleet, visitors, placed: CERTS.map(|cert| (cert, 0)).into() };
        scene.settles().await.lost_nothing();
        Some(scene)
    }

    /// All certificates are asked to be renewed. The first driver that comes to `point` waits there, `disturb` is done to the world, and it goes on.
    pub async fn renew_disturbed(&mut self, point: &str, disturb: impl AsyncFnOnce()) {
        self.fleet.stop_first_at(point);
        self.renew(&CERTS).await;
        self.fleet.stands_still().await;
        disturb().await;
        self.fleet.go_on();
    }

    /// Asks for renewals.
    pub async fn renew(&self, certs: &[&str]) {
        for cert in certs {
            self.fleet.certfleet_until_it_works(1, &["renew", cert]).await;
        }
    }

    /// Waits until a driver says that something is wrong with its store: `why` is in it.
    pub async fn notices(&self, why: &str) {
        self.fleet.until(&format!("a node says {why:?}"), || self.has_noticed(why)).await;
    }

    /// The same, while renewals are asked for again and again, whatever comes of that.
    pub async fn is_asked_until_it_notices(&self, why: &str) {
        let again = || async {
            for cert in CERTS {
                self.fleet.certfleet(1, &["renew", cert]).await;
            }
            self.has_noticed(why).await
        };
        self.fleet.until(&format!("a node says {why:?}"), again).await;
    }

    /// Waits until no renewal is wanted any more: of those that were asked for again, one may have begun while another ended.
    pub async fn rests(&self) {
        for cert in CERTS {
            let rests = || async {
                let record = self.fleet.record(cert).await;
                (record.attempt.is_none() && record.renew_requested_at.is_none()).then_some(())
            };
            self.fleet.until(&format!("{cert} rests"), rests).await;
        }
    }

    /// Of what was asked for, an engine may lose what no node had read yet: that is asked for again. Waits until all is renewed and rests.
    pub async fn asks_again_for_what_is_lost(&self) {
        for cert in CERTS {
            let is_renewed = || async {
                let record = self.fleet.record(cert).await;
                let rests = record.attempt.is_none() && record.renew_requested_at.is_none();
                let is_old = record.last_number.0 == self.placed[cert];
                if rests && is_old {
                    self.fleet.certfleet(1, &["renew", cert]).await;
                }
                (rests && !is_old).then_some(())
            };
            self.fleet.until(&format!("{cert} is renewed"), is_renewed).await;
        }
    }

    async fn has_noticed(&self, why: &str) -> Option<()> {
        for n in DRIVERS {
            if self.fleet.admin(n, "/healthz").await.is_some_and(|health| health.body.contains(why)) {
                return Some(());
            }
        }
        None
    }

    /// What the fleet has placed of a certificate when it settled last.
    pub fn placed(&self, cert: &str) -> u64 {
        self.placed[cert]
    }

    /// Waits until all renewals that were asked for are done and everybody is well; gives what the CA and the store say then.
    pub async fn settles(&mut self) -> Books {
        self.settles_with(&CERTS).await
    }

    /// The same, where only these were asked for.
    pub async fn settles_with(&mut self, renewed: &[&'static str]) -> Books {
        for cert in renewed {
            let leaf = self.fleet.all_have_of(cert, self.placed[cert] + 1).await;
            let record = self.fleet.record(cert).await;
            let placed = record.placed.as_ref().filter(|placed| placed.serial == leaf.serial);
            assert!(placed.is_some() && record.renew_requested_at.is_none(), "{cert} is not what all nodes have: {record:?}");
            self.placed.insert(cert, record.last_number.0);
        }
        for n in self.fleet.numbers() {
            let well = || async { self.fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) };
            self.fleet.until(&format!("node {n} is well"), well).await;
        }
        self.visitors.are_content().await;
        Books::read(&self.fleet).await
    }

    /// The fleet's end: no visitor was ever turned away.
    pub async fn end(self) {
        self.visitors.end().await;
    }
}
