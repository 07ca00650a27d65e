//! A store that this node serves to members (`serve`): questions in, answers out, over whatever engine the node itself uses.
//!
//! Always holds: every question passes the [`Door`], with the key that TLS has proved; what it does not show reads as absent, what it does not
//! allow is refused with the reason, and nothing of the question has happened then.
//!
//! Deliberately not here: who is a member and what members may do (the daemon's door asks `core::trust`), and TLS (`edge`).

mod door;
mod streams;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use certfleet_core::trust::{SigningKey, VerifyingKey};
use certfleet_edge::{
    BindError, ListenAddress, ListenerHandle, MemberLimits, MemberReply, MemberRequest, MemberService, ServerIdentity, listen_members,
};
use certfleet_store::wire::{ALPN, ASK_BYTES_MAX, Answer, Ask, Explanation, PATH, Revised, Trouble, expected};
use certfleet_store::{Store, StoreError};

pub use door::{Caller, Denied, Door};

/// Answers for a store.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    door: Arc<dyn Door>,
}

impl Service {
    /// Over this store, through this door.
    pub fn new(store: Arc<dyn Store>, door: Arc<dyn Door>) -> Self {
        Self { store, door }
    }

    /// Listens as the node that has this key.
    pub async fn listen(&self, address: ListenAddress, key: &SigningKey) -> Result<ListenerHandle, BindError> {
        let identity = ServerIdentity { key: key.clone(), protocol: ALPN };
        listen_members(address, identity, Arc::new(self.clone()), MemberLimits::new(ASK_BYTES_MAX)).await
    }

    async fn answer(&self, peer: VerifyingKey, ask: Ask) -> Result<MemberReply, Denied> {
        let caller = self.door.caller(&peer)?;
        match ask {
            Ask::Get { key } => Ok(whole(&self.get(&peer, &caller, &key).await)),
            Ask::Put { key, envelope, expect } => self.put(&peer, &caller, &key, &envelope, expect).await.map(|answer| whole(&answer)),
            Ask::Delete { key, expect } => self.delete(&peer, &caller, &key, expect).await.map(|answer| whole(&answer)),
            Ask::List { prefix } => Ok(self.list(peer, caller, prefix)),
            Ask::Watch { prefix } => Ok(self.watch(peer, caller, prefix)),
        }
    }

    async fn get(&self, peer: &VerifyingKey, caller: &Caller, key: &Key) -> Answer {
        match self.store.get(key).await {
            Ok(stored) => Answer::Found(stored.filter(|stored| caller.sees(peer, key, Some(stored))).map(Into::into)),
            Err(StoreError::Corrupt { .. }) if !caller.sees(peer, key, None) => Answer::Found(None),
            Err(error) => Answer::Error(error.into()),
        }
    }

    async fn put(
        &self,
        peer: &VerifyingKey,
        caller: &Caller,
        key: &Key,
        envelope: &Envelope,
        expect: Option<Revised>,
    ) -> Result<Answer, Denied> {
        self.door.may_put(peer, caller, key, envelope).map_err(Denied::Refused)?;
        Ok(done(self.store.put(key, envelope, &expected(expect)).await))
    }

    async fn delete(&self, peer: &VerifyingKey, caller: &Caller, key: &Key, expect: Revised) -> Result<Answer, Denied> {
        self.door.may_remove(peer, caller, key).map_err(Denied::Refused)?;
        Ok(done(self.store.delete(key, &expect.into()).await))
    }
}

fn done(put: Result<certfleet_store::Put, StoreError>) -> Answer {
    put.map_or_else(|error| Answer::Error(Trouble::from(error)), Answer::from)
}

fn whole(answer: &Answer) -> MemberReply {
    MemberReply::Whole(200, json(answer))
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("keys, envelopes and text serialise").into()
}

fn explained(status: u16, reason: impl Into<String>) -> MemberReply {
    MemberReply::Whole(status, json(&Explanation { reason: reason.into() }))
}

#[async_trait]
impl MemberService for Service {
    fn knows(&self, peer: &VerifyingKey) -> bool {
        matches!(self.door.caller(peer), Ok(Caller::Member(_)))
    }

    async fn parted(&self, peer: &VerifyingKey) {
        let mut changes = self.door.changes();
        // A door that is not ready does not know; whoever it knew stays.
        while matches!(self.door.caller(peer), Ok(Caller::Member(_)) | Err(Denied::NotReady(_))) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    async fn reply(&self, peer: VerifyingKey, request: MemberRequest) -> MemberReply {
        if request.path != PATH {
            return explained(404, format!("there is nothing at this path but {PATH}"));
        }
        if !request.is_post {
            return explained(405, "questions are POSTed");
        }
        match serde_json::from_slice(&request.body) {
            Err(error) => explained(400, format!("the question cannot be read: {error}")),
            Ok(ask) => match self.answer(peer, ask).await {
                Ok(reply) => reply,
                Err(Denied::NotReady(why)) => explained(503, why),
                Err(Denied::Refused(why)) => explained(403, why),
            },
        }
    }
}
