//! Actions that talk to a CA about an attempt.

use std::sync::Arc;

use certfleet_acme::{AccountRef, CertificateAuthority, inspect_csr};
use certfleet_core::ca::CaError;
use certfleet_core::decide::Call;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::names::{CertName, Generation, IssuerName};
use certfleet_core::records::VersionRecord;
use certfleet_core::view::{CaReply, Outcome};
use certfleet_core::x509::Leaf;

use super::{ActionError, Done, Executor, Found};
use crate::crash;

impl Executor {
    pub(super) fn authority(&self, issuer: &IssuerName) -> Result<&Arc<dyn CertificateAuthority>, ActionError> {
        self.authorities.get(issuer).ok_or_else(|| ActionError::Other(format!("issuer {issuer} is not in this node's configuration")))
    }

    pub(super) async fn check_clock(&self, issuer: IssuerName) -> Done {
        let date = self.authority(&issuer)?.date().await;
        let own = self.clock.now().wall;
        let ahead = date.map(|ca| own.as_second().saturating_sub(ca.as_second()));
        if let Err(error) = &ahead {
            tracing::warn!(event = "ca-unreachable", issuer = %issuer, error = %error);
        }
        Ok((Vec::new(), Outcome::ClockChecked(issuer, ahead)))
    }

    pub(super) async fn call(&self, cert: CertName, number: Generation, issuer: IssuerName, call: Call) -> Done {
        let (authority, account) = (self.authority(&issuer)?, self.account(&issuer)?);
        let name = call.name();
        if let Call::Finalize(_, csr) = &call {
            let key = inspect_csr(csr).map_err(|e| ActionError::Other(format!("{cert}: {e}")))?.key;
            self.see_to_key(&cert, &key).await?;
        }
        crash::point("before-ca", name);
        let reply = ask(authority.as_ref(), &account, call).await;
        crash::point("after-ca", name);
        self.metrics.ca_call(&issuer, name, reply.is_ok());
        match &reply {
            Ok(_) => tracing::debug!(event = "ca-call", cert = %cert, attempt = number.0, call = name),
            Err(error) => tracing::warn!(event = "ca-call-failed", cert = %cert, attempt = number.0, call = name, error = %error),
        }
        Ok((Vec::new(), Outcome::Called(cert, number, issuer, reply)))
    }

    /// Created once; of two holders who both store it, the second takes what the first wrote, which is the same certificate.
    pub(super) async fn store_version(&self, cert: CertName, version: VersionRecord) -> Done {
        let number = version.generation;
        if has(Mutant::VersionNotStored) {
            let hash = self.pen.write(&RecordKey::Version(cert.clone(), number), &version, &Expect::Absent)?.body_hash();
            return Ok((Vec::new(), Outcome::VersionStored(cert, number, hash)));
        }
        crash::point("before-store", "version");
        let key = RecordKey::Version(cert.clone(), number);
        let (mut found, done) = self.put(&key, &version, &Expect::Absent).await?;
        crash::point("after-store", "version");
        if !done && (self.is_distrusted(&key, &found) || stored_version(&found, &version).is_err()) {
            // Somebody without the right put something there, or it is of an attempt of this number that a restored backup has undone. The record
            // will vouch for ours.
            let expect = found.1.as_ref().map_or(Expect::Absent, |stored| Expect::Revision(stored.revision.clone()));
            found = self.put(&key, &version, &expect).await?.0;
        }
        let hash = stored_version(&found, &version)?;
        if let (key, Some(stored)) = &found {
            self.cache(key, &stored.envelope);
            self.keeper.tidy(&cert, number);
        }
        Ok((Vec::new(), Outcome::VersionStored(cert, number, hash)))
    }
}

/// The hash of what stands there now, if it is the same certificate.
fn stored_version(found: &Found, version: &VersionRecord) -> Result<certfleet_core::names::VersionHash, ActionError> {
    let (key, stored) = found;
    let stored = stored.as_ref().ok_or_else(|| ActionError::Other(format!("{key} vanished while it was written")))?;
    let there: VersionRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("{key}: {e}")))?;
    let leaf = |chain: &str| Leaf::from_pem(chain).map(|leaf| leaf.fingerprint).map_err(|e| ActionError::Other(format!("{key}: {e}")));
    if leaf(&there.chain)? != leaf(&version.chain)? {
        return Err(ActionError::Other(format!("{key} holds another certificate than the CA issued for this attempt")));
    }
    Ok(stored.envelope.body_hash())
}

async fn ask(authority: &dyn CertificateAuthority, account: &AccountRef, call: Call) -> Result<CaReply, CaError> {
    match call {
        Call::NewOrder(names, profile) => authority.new_order(account, &names, profile.as_deref()).await.map(CaReply::Order),
        Call::Look(order) => authority.order(account, &order).await.map(CaReply::Order),
        Call::Ready(challenges) => {
            for challenge in &challenges {
                authority.challenge_ready(account, challenge).await?;
            }
            Ok(CaReply::Told(challenges))
        }
        Call::Finalize(order, csr) => authority.finalize(account, &order, &csr).await.map(|()| CaReply::Finalized),
        Call::Fetch(order) => {
            let chain = authority.certificate(account, &order).await?;
            let leaf = Leaf::from_pem(&chain).map_err(|e| CaError::Malformed(format!("the certificate of order {order}: {e}")))?;
            Ok(CaReply::Chain(Box::new(leaf), chain))
        }
    }
}
