//! A store that a node serves, seen by its clients: the suite, lost answers, servers that die, hang or are others, hostile clients. Who may do
//! what is `core::trust`'s, and tested there and end to end; here the door lets everybody do everything.

mod faults;
mod hostile;
mod suite;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use certfleet_core::spec::all_roles;
use certfleet_core::trust::{Sight, SigningKey, VerifyingKey};
use certfleet_edge::ListenerHandle;
use certfleet_node::central::{Caller, Denied, Door, Service};
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::{Change, Credentials, Expect, OpenError, Put, Revision, Store, Watch, fresh_nonce};
use certfleet_testkit::free_port;
use tokio::sync::watch;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(30);
const SERVER: u8 = 1;

/// Takes everybody for a member that may do everything, but one key for a member that was removed.
struct OpenDoor {
    changes: watch::Sender<u64>,
    removed: std::sync::Mutex<Option<VerifyingKey>>,
}

impl Door for OpenDoor {
    fn caller(&self, peer: &VerifyingKey) -> Result<Caller, Denied> {
        if *self.removed.lock().expect("no panic") == Some(*peer) {
            return Err(Denied::Refused("it was removed".into()));
        }
        let node = "conformance".parse().expect("a name");
        Ok(Caller::Member(Sight { node, granted: all_roles(), certs: Default::default(), keys: Default::default() }))
    }

    fn may_put(&self, _: &VerifyingKey, _: &Caller, key: &Key, _: &Envelope) -> Result<(), String> {
        if key.is_under("forbidden") { Err("it is forbidden".into()) } else { Ok(()) }
    }

    fn may_remove(&self, _: &VerifyingKey, _: &Caller, key: &Key) -> Result<(), String> {
        if key.is_under("forbidden") { Err("it is forbidden".into()) } else { Ok(()) }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A served store, which can be stopped and started again on the same address.
struct Server {
    engine: Arc<MemoryStore>,
    door: Arc<OpenDoor>,
    address: SocketAddr,
    listener: Option<ListenerHandle>,
}

fn signing(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

impl Server {
    async fn start() -> Self {
        let door = Arc::new(OpenDoor { changes: watch::Sender::new(0), removed: Default::default() });
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port(Ipv4Addr::LOCALHOST.into()));
        let mut server = Self { engine: MemoryStore::new(), door, address, listener: None };
        server.listen_as(SERVER).await;
        server
    }

    async fn listen_as(&mut self, seed: u8) {
        let service = Service::new(self.engine.clone(), self.door.clone());
        let address = self.address.to_string().parse().expect("an address");
        self.listener = Some(service.listen(address, &signing(seed)).await.expect("it listens"));
    }

    /// All connections end, and nobody listens.
    async fn kill(&mut self) {
        self.listener.take().expect("it listens").stop().await;
    }

    async fn open(&self, seed: u8) -> Arc<dyn Store> {
        open_at(self.address, seed).await.expect("the server is there")
    }

    /// The key with this seed is no member's any more.
    fn remove(&self, seed: u8) {
        *self.door.removed.lock().expect("no panic") = Some(signing(seed).verifying_key());
        self.door.changes.send_modify(|times| *times += 1);
    }
}

fn credentials(seed: u8, server: u8) -> Credentials {
    let server = signing(server).verifying_key();
    Credentials { key: signing(seed), servers: Arc::new(move || vec![server]) }
}

async fn open_at(address: SocketAddr, seed: u8) -> Result<Arc<dyn Store>, OpenError> {
    certfleet_store::open_with(&format!("https://{address}"), Some(&credentials(seed, SERVER))).await
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("a name"), fresh_nonce().expect("random"), &body).expect("JSON")
}

async fn done(store: &dyn Store, at: &Key, value: &Envelope, expect: &Expect) -> Revision {
    match store.put(at, value, expect).await.expect("written") {
        Put::Done(revision) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

async fn next(watch: &mut Watch) -> Option<Change> {
    tokio::time::timeout(LIMIT, watch.next()).await.expect("told in time")
}
