//! By what a store is known: one value, made once, that every transaction asks for.
//!
//! So an etcd that was set up anew, or another one at the same address, is never taken for an empty store, whenever that happens.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use serde::{Deserialize, Serialize};

use super::answers::{first_found, txn};
use super::connections::Connections;
use super::keys::Names;
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;

/// The layout that this version reads and writes.
const LAYOUT: u32 = 1;
const ABOUT: &str = "certfleet keeps its fleet's state here: one key per record, below data/";

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    layout: u32,
    id: String,
    about: String,
}

/// The store's identity, as its bytes are.
#[derive(Debug, Clone)]
pub(super) struct Marker {
    name: String,
    bytes: Vec<u8>,
}

impl Marker {
    /// Recognises the store.
    pub async fn open(connections: &Connections, names: &Names) -> Result<Self, OpenError> {
        match read(connections, names).await? {
            Some(bytes) => Self::recognised(connections, names, bytes),
            None => Err(missing(
                connections,
                "there is nothing at this prefix; check the address and the prefix, or run `certfleet init` to make a new fleet",
            )),
        }
    }

    /// Makes the store unless there is one. Several may do so at once; one store comes of it.
    pub async fn open_or_create(connections: &Connections, names: &Names) -> Result<Self, OpenError> {
        match read(connections, names).await? {
            Some(bytes) => Self::recognised(connections, names, bytes),
            None => {
                refuse_other_contents(connections, names).await?;
                create(connections, names).await?;
                Self::open(connections, names).await
            }
        }
    }

    fn recognised(connections: &Connections, names: &Names, bytes: Vec<u8>) -> Result<Self, OpenError> {
        let content: Content = serde_json::from_slice(&bytes).map_err(|e| {
            missing(connections, &format!("the value of `{}` is not certfleet's ({e}); give another prefix", names.marker()))
        })?;
        if content.layout > LAYOUT {
            return Err(OpenError::TooNew { path: connections.place().into(), found: content.layout, known: LAYOUT });
        }
        Ok(Self { name: names.marker(), bytes })
    }

    /// Holds as long as the store is the one that was opened.
    pub fn stands(&self) -> Compare {
        Compare::value(self.name.clone(), CompareOp::Equal, self.bytes.clone())
    }

    /// Asks for it, for when it does not hold.
    pub fn look(&self) -> TxnOp {
        TxnOp::get(self.name.clone(), None)
    }

    /// What it means that the marker is `found`; `Ok` if it is the one.
    pub fn check(&self, found: Option<&[u8]>, place: &str) -> Result<(), StoreError> {
        match found {
            Some(bytes) if bytes == self.bytes => Ok(()),
            Some(_) => Err(StoreError::NeedsOperator {
                what: format!("{place} is another store than the one that was opened"),
                remedy: "check the address and the prefix, or restart certfleet if this is intended".into(),
            }),
            None => Err(StoreError::Away {
                why: format!("{place} has no store any more (`{}` is gone); restore etcd from a snapshot, or make a new fleet", self.name),
            }),
        }
    }
}

async fn read(connections: &Connections, names: &Names) -> Result<Option<Vec<u8>>, OpenError> {
    let ask = Txn::new().and_then([TxnOp::get(names.marker(), None)]);
    let answer = connections.ask(|client| txn(client, ask.clone())).await?;
    Ok(first_found(&answer).map(|found| found.value().to_vec()))
}

/// A prefix below which others keep things is not taken.
async fn refuse_other_contents(connections: &Connections, names: &Names) -> Result<(), OpenError> {
    let (first, behind) = names.all();
    let any = GetOptions::new().with_range(behind).with_limit(1).with_keys_only();
    let ask = Txn::new().and_then([TxnOp::get(first, Some(any))]);
    let answer = connections.ask(|client| txn(client, ask.clone())).await?;
    match first_found(&answer) {
        None => Ok(()),
        // Another node was quicker.
        Some(found) if found.key() == names.marker().as_bytes() => Ok(()),
        Some(found) => {
            let name = String::from_utf8_lossy(found.key()).escape_default().to_string();
            Err(missing(connections, &format!("there are other things at this prefix (`{name}`); give another one")))
        }
    }
}

async fn create(connections: &Connections, names: &Names) -> Result<(), OpenError> {
    let content = Content { layout: LAYOUT, id: fresh_nonce()?.as_str().to_owned(), about: ABOUT.to_owned() };
    let bytes = serde_json::to_vec(&content).map_err(|e| StoreError::Away { why: e.to_string() })?;
    let absent = Compare::create_revision(names.marker(), CompareOp::Equal, 0);
    let ask = Txn::new().when([absent]).and_then([TxnOp::put(names.marker(), bytes, None)]);
    // Whether it took place is seen by reading.
    connections.ask(|client| txn(client, ask.clone())).await?;
    Ok(())
}

fn missing(connections: &Connections, why: &str) -> OpenError {
    OpenError::Missing { path: connections.place().into(), why: why.to_owned() }
}
