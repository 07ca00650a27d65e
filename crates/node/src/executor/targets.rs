//! Actions that touch this node's targets.

use std::sync::Arc;

use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Identifier, TargetName};
use certfleet_core::records::{Placed, PrivateKeyRecord, TargetState, VersionRecord};
use certfleet_core::view::{InstallResult, Outcome};
use certfleet_deploy::{Material, State, Target};

use super::{ActionError, Done, Executor};
use crate::memory::{self, KeptGeneration};
use crate::{crash, trust};

impl Executor {
    fn target(&self, name: &TargetName) -> Result<&Arc<dyn Target>, ActionError> {
        self.targets.get(name).ok_or_else(|| ActionError::Other(format!("deploy.{name} is not on this node")))
    }

    pub(super) async fn stand_in(&self, cert: CertName, target: TargetName, names: Vec<Identifier>) -> Done {
        let wrote = self.target(&target)?.stand_in(&cert, &self.node, &names).await;
        let wrote = wrote.map_err(|e| ActionError::Other(format!("deploy.{target}, {cert}: {e}")))?;
        if wrote {
            tracing::info!(event = "stand-in", cert = %cert, target = %target, "a self-signed certificate until the first real one is there");
        }
        Ok((Vec::new(), Outcome::StoodIn(cert, target)))
    }

    /// Brings a batch to a target. What cannot be used is refused one by one; the rest goes on.
    pub(super) async fn install(&self, name: TargetName, batch: Vec<(CertName, Placed)>) -> Done {
        let target = self.target(&name)?;
        let (mut results, mut materials, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (cert, placed) in batch {
            match self.material(&cert, &placed).await {
                Ok(material) => {
                    materials.push(material);
                    wanted.push(placed);
                }
                Err(ActionError::Other(why)) => results.push(refused(cert, placed, why)),
                Err(error) => return Err(error),
            }
        }
        crash::point("before-install", target.kind());
        let outcomes = target.converge(&materials).await;
        crash::point("after-install", target.kind());
        for (outcome, placed) in outcomes.into_iter().zip(wanted) {
            results.push(InstallResult {
                settled: outcome.state == State::Verified || (outcome.state == State::Installed && !target.verifies()),
                state: state(outcome.state),
                cert: outcome.cert,
                reason: outcome.reason,
                placed,
            });
        }
        results.iter().for_each(|result| self.tell_installed(&name, result));
        Ok((Vec::new(), Outcome::Installed(name, results)))
    }

    fn tell_installed(&self, target: &TargetName, result: &InstallResult) {
        let (cert, generation) = (&result.cert, result.placed.placement.generation.0);
        let reason = result.reason.as_deref().unwrap_or("-");
        match result.state {
            TargetState::Verified => tracing::info!(event = "verified", cert = %cert, target = %target, generation),
            TargetState::Installed | TargetState::Pending => {
                tracing::info!(event = "installed", cert = %cert, target = %target, generation, reason);
            }
            TargetState::Failed => tracing::warn!(event = "install-failed", cert = %cert, target = %target, generation, reason),
        }
        self.metrics.installed(target, result.state);
    }

    /// The chain and key of a placement: from the state directory if they were here before, else from the store; checked either way.
    async fn material(&self, cert: &CertName, placed: &Placed) -> Result<Material, ActionError> {
        let generation = placed.placement.generation;
        let kept = memory::load_generation(&self.state, cert, generation).map_err(|e| ActionError::Other(e.to_string()))?;
        if let Some(material) = kept.and_then(|kept| self.checked(cert, placed, kept.chain, kept.key).ok()) {
            return Ok(material);
        }
        let (chain, key) = self.fetch(cert, placed).await?;
        let material = self.checked(cert, placed, chain.clone(), key.clone())?;
        let kept = KeptGeneration { chain, key };
        memory::keep_generation(&self.state, cert, generation, &kept).map_err(|e| ActionError::Other(e.to_string()))?;
        Ok(material)
    }

    async fn fetch(&self, cert: &CertName, placed: &Placed) -> Result<(String, certfleet_core::secret::Secret), ActionError> {
        let version_key = RecordKey::Version(cert.clone(), placed.placement.generation);
        let (_, stored) = self.read(&version_key.key()).await?;
        let stored = stored.ok_or_else(|| ActionError::Other(format!("{version_key} is not in the store")))?;
        if stored.envelope.body_hash() != placed.version {
            return Err(ActionError::Other(format!("{version_key} is not what the certificate's record vouches for")));
        }
        let version: VersionRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("{version_key}: {e}")))?;
        let private_key = RecordKey::PrivateKey(placed.key.clone());
        let (_, stored) = self.read(&private_key.key()).await?;
        let stored = stored.ok_or_else(|| ActionError::Other(format!("{private_key} is not in the store")))?;
        let record: PrivateKeyRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("{private_key}: {e}")))?;
        Ok((version.chain, trust::open(&record.key)))
    }

    /// Nothing is installed whose leaf, key, names or validity are not what the record says.
    fn checked(
        &self,
        cert: &CertName,
        placed: &Placed,
        chain: String,
        key: certfleet_core::secret::Secret,
    ) -> Result<Material, ActionError> {
        let refuse = |why: String| ActionError::Other(format!("{cert} generation {}: {why}", placed.placement.generation));
        let material =
            Material::new(cert.clone(), self.node.clone(), placed.placement.generation, chain, key).map_err(|e| refuse(e.to_string()))?;
        if material.leaf.fingerprint != placed.fingerprint {
            return Err(refuse("the chain is not the one that was placed".into()));
        }
        let key_hash = certfleet_acme::spki_of_key(&material.key_pem).map_err(|e| refuse(e.to_string()))?;
        if key_hash != material.leaf.key {
            return Err(refuse("the private key is not the certificate's".into()));
        }
        if material.leaf.not_after <= self.clock.now().wall {
            return Err(refuse(format!("it expired at {}", material.leaf.not_after)));
        }
        Ok(material)
    }
}

fn refused(cert: CertName, placed: Placed, why: String) -> InstallResult {
    InstallResult { cert, placed, state: TargetState::Failed, reason: Some(why), settled: false }
}

fn state(state: State) -> TargetState {
    match state {
        State::Installed => TargetState::Installed,
        State::Verified => TargetState::Verified,
        State::Failed => TargetState::Failed,
    }
}
