//! The API of a node that serves its store: who asks on the first line (`member`, `stranger` or what is neither), then the body of the question.
//!
//! Also holds: what the door does not let in has not happened.

use std::sync::Arc;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::spec::Role;
use certfleet_core::trust::{Roster, Sight, VerifyingKey};
use certfleet_edge::{MemberReply, MemberRequest, MemberService};
use certfleet_node::central::{Caller, Denied, Door, Service};
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::wire::PATH;
use certfleet_store::{Expect, Store};
use tokio::sync::watch;

use crate::{first_line, fleet, wait};

/// Most pieces that are read of an answer that may never end.
const PIECES_MAX: usize = 4;

/// Asks. True: it is answered.
pub fn read(data: &[u8]) -> bool {
    let (who, body) = first_line(data);
    let caller = match who {
        b"member" => Some([Role::Issue, Role::Answer, Role::Deploy].into()),
        b"deployer" => Some([Role::Deploy].into()),
        b"stranger" => None,
        _ => return false,
    };
    let caller = caller.map_or(Caller::Stranger, |granted| {
        let certs = ["example.com".parse().expect("a name")].into();
        Caller::Member(Sight { node: "web-1".parse().expect("a name"), granted, certs, keys: Default::default() })
    });
    wait(ask(caller, body))
}

async fn ask(caller: Caller, body: &[u8]) -> bool {
    let (store, door) =
        (store().await, Arc::new(FleetDoor { caller, roster: Roster::clone(&fleet::view().roster), changes: watch::Sender::new(0) }));
    let before = store.list("").await.expect("memory can be read").entries;
    let request = MemberRequest { is_post: true, path: PATH.into(), body: body.to_vec().into() };
    let peer = fleet::key_of("web-1").verifying_key();
    match Service::new(store.clone(), door).reply(peer, request).await {
        MemberReply::Whole(200, _) => true,
        MemberReply::Whole(..) => {
            let after = store.list("").await.expect("memory can be read").entries;
            assert!(before == after, "a question that was refused changed something");
            false
        }
        MemberReply::Stream(mut pieces) => {
            let mut read = 0;
            while read < PIECES_MAX && !pieces.is_closed() && pieces.recv().await.is_some() {
                read += 1;
                // A watch is silent from its first piece on.
                if pieces.is_empty() {
                    break;
                }
            }
            read > 0
        }
    }
}

async fn store() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for line in fleet::samples() {
        store.put(&line.key, &line.envelope, &Expect::Absent).await.expect("memory can be written");
    }
    store
}

/// The one of DESIGN section 7, for one caller.
struct FleetDoor {
    caller: Caller,
    roster: Roster,
    changes: watch::Sender<u64>,
}

impl Door for FleetDoor {
    fn caller(&self, _: &VerifyingKey) -> Result<Caller, Denied> {
        Ok(self.caller.clone())
    }

    fn may_put(&self, _: &VerifyingKey, caller: &Caller, key: &Key, envelope: &Envelope) -> Result<(), String> {
        match (caller, RecordKey::of(key)) {
            (Caller::Member(sight), Some(record)) => sight.may_put(&self.roster, &record, envelope).map_err(|why| why.to_string()),
            _ => Err("it is no member".into()),
        }
    }

    fn may_remove(&self, _: &VerifyingKey, caller: &Caller, key: &Key) -> Result<(), String> {
        match (caller, RecordKey::of(key)) {
            (Caller::Member(sight), Some(record)) => sight.may_remove(&record).map_err(|why| why.to_string()),
            _ => Err("it is no member".into()),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
