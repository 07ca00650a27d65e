//! A pebble whose names resolve to three addresses, and http-01 answers on all of them.

mod responder;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use certfleet_acme::conformance::Environment;
use certfleet_acme::{CertificateAuthority, Client};
use certfleet_core::names::Identifier;
use certfleet_testkit::Site;
use certfleet_testkit::pebble::{Pebble, PebbleOptions};

use responder::Responder;

/// How many "hosts" answer.
const HOSTS: u8 = 3;

#[derive(Debug)]
pub struct Laboratory {
    pub pebble: Pebble,
    responder: Responder,
    addresses: Vec<Ipv4Addr>,
    names: AtomicUsize,
    _site: Site,
}

impl Laboratory {
    /// `None` where pebble is not installed; `change` sets how it behaves (every validation counts by default: no reuse, no bad nonces).
    pub async fn start(change: impl FnOnce(&mut PebbleOptions)) -> Option<Self> {
        let site = Site::claim();
        let mut options = PebbleOptions::new(site.port_on_all(HOSTS));
        (options.authz_reuse_percent, options.nonce_reject_percent) = (0, 0);
        change(&mut options);
        let addresses: Vec<Ipv4Addr> = (1..=HOSTS).map(|host| site.host(host)).collect();
        let responder = Responder::start(&addresses, options.http_port).await;
        let pebble = Pebble::start(options).await?;
        Some(Self { pebble, responder, addresses, names: AtomicUsize::new(0), _site: site })
    }

    pub fn connect(&self) -> Client {
        Client::new(&self.pebble.directory_url(), Some(&self.pebble.root_pem())).expect("pebble's directory")
    }

    async fn new_name(&self) -> Identifier {
        let name = format!("name{}.example.com", self.names.fetch_add(1, Ordering::Relaxed));
        self.pebble.set_a(&name, &self.addresses).await;
        name.parse().expect("a name")
    }
}

#[async_trait]
impl Environment for Laboratory {
    fn client(&self) -> Box<dyn CertificateAuthority> {
        Box::new(self.connect())
    }

    async fn answered_name(&self, thumbprint: &str) -> Identifier {
        let name = self.new_name().await;
        self.responder.answer(name.as_str(), thumbprint);
        name
    }

    async fn failing_name(&self) -> Identifier {
        self.new_name().await
    }

    async fn issued(&self) -> usize {
        self.pebble.issued().len()
    }
}
