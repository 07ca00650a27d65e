//! The one place where envelopes are made and signed, and secrets sealed and opened, in this node's name.

use certfleet_core::decide::Readers;
use certfleet_core::envelope::{Envelope, EnvelopeError, Expect};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{NodeName, SpkiHash};
use certfleet_core::secret::{Sealed, Secret, Wrap};
pub use certfleet_core::trust::Grant;
use certfleet_core::trust::{SealingKey, SigningKey};
use certfleet_store::{StoreError, fresh_nonce};
use serde::Serialize;

use crate::identity::Identity;
use crate::seal::{self, Context, OpenError, SealError, WrapForError};

/// What the account key is sealed for; no certificate can have this name.
pub const ACCOUNT_PURPOSE: &str = "account key";

/// Why a record could not be wrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// No nonce.
    #[error(transparent)]
    Nonce(#[from] StoreError),
    /// The record does not fit.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Signs and seals as one node.
#[derive(Debug, Clone)]
pub struct Pen {
    identity: Identity,
}

impl Pen {
    /// As this node.
    pub fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone() }
    }

    /// Whose it is.
    pub fn node(&self) -> &NodeName {
        &self.identity.node
    }

    /// A record as it is written under `key` where `expect` holds.
    pub fn write<T: Serialize>(&self, key: &RecordKey, record: &T, expect: &Expect) -> Result<Envelope, WrapError> {
        self.write_after(0, key, record, expect)
    }

    /// The same, after a value of this `change`, which need not stand there any more.
    pub fn write_after<T: Serialize>(&self, change: u64, key: &RecordKey, record: &T, expect: &Expect) -> Result<Envelope, WrapError> {
        let envelope = Envelope::new(self.identity.node.clone(), fresh_nonce()?, record)?.following(expect).coming_after(change);
        Ok(envelope.signed(&self.identity.fleet, &key.key(), &self.identity.signing_key))
    }

    /// The same, signed by the fleet key.
    pub fn write_as_fleet<T: Serialize>(
        &self,
        key: &RecordKey,
        record: &T,
        expect: &Expect,
        fleet_key: &SigningKey,
    ) -> Result<Envelope, WrapError> {
        let envelope = Envelope::new(self.identity.node.clone(), fresh_nonce()?, record)?.following(expect);
        Ok(envelope.signed(&self.identity.fleet, &key.key(), fleet_key))
    }

    fn context<'a>(&'a self, purpose: &'a str, spki: &'a SpkiHash) -> Context<'a> {
        Context { fleet: &self.identity.fleet, purpose, spki }
    }

    /// Seals a secret for those who are meant to read it. `purpose`: the certificate's name, or [`ACCOUNT_PURPOSE`].
    pub fn seal(&self, secret: &Secret, purpose: &str, spki: &SpkiHash, readers: &Readers) -> Result<Sealed, SealError> {
        let sealing = seal::seal(secret, &self.context(purpose, spki), readers)?;
        for reader in &sealing.skipped {
            tracing::warn!(event = "reader-skipped", reader = %reader, purpose, "its sealing key cannot be used; it must join again");
        }
        Ok(sealing.sealed)
    }

    /// Seals a secret for this node alone.
    pub fn seal_for_myself(&self, secret: &Secret, purpose: &str, spki: &SpkiHash) -> Result<Sealed, SealError> {
        let me = (self.identity.node.clone(), self.identity.sealing_key.sealing_key());
        self.seal(secret, purpose, spki, &Readers::from([me]))
    }

    /// Opens what was sealed for this node; `later` is a wrap that came later.
    pub fn open(&self, sealed: &Sealed, later: Option<&Wrap>, purpose: &str, spki: &SpkiHash) -> Result<Secret, OpenError> {
        seal::open(sealed, later, &self.context(purpose, spki), &self.identity.node, &self.identity.sealing_key)
    }

    /// Wraps for another node what was sealed for this one.
    pub fn wrap_for(
        &self,
        sealed: &Sealed,
        later: Option<&Wrap>,
        (purpose, spki): (&str, &SpkiHash),
        reader: (&NodeName, &SealingKey),
    ) -> Result<Wrap, WrapForError> {
        seal::wrap_for(sealed, later, &self.context(purpose, spki), (&self.identity.node, &self.identity.sealing_key), reader)
    }
}
