//! Actions that touch this node's targets.

use std::sync::Arc;

use certfleet_acme::{Roots, verify_chain};
use certfleet_core::key::RecordKey;
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::names::{CertName, Identifier, TargetName};
use certfleet_core::records::{Placed, TargetState, VersionRecord};
use certfleet_core::secret::Secret;
use certfleet_core::view::{InstallResult, KeySeen, Outcome};
use certfleet_deploy::{Material, State, Target};
use certfleet_store::StoreError;

use super::{ActionError, Done, Executor};
use crate::crash;

impl Executor {
    fn target(&self, name: &TargetName) -> Result<&Arc<dyn Target>, ActionError> {
        self.targets.get(name).ok_or_else(|| ActionError::Other(format!("deploy.{name} is not on this node")))
    }

    pub(super) async fn stand_in(&self, cert: CertName, target: TargetName, names: Vec<Identifier>) -> Done {
        let wrote = self.target(&target)?.stand_in(&cert, self.pen.node(), &names).await;
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
                Err(ActionError::Other(why)) => results.push(refused(cert, placed, why, KeySeen::Untried)),
                Err(ActionError::Lacks(_, why)) => results.push(refused(cert, placed, why, KeySeen::Lacks)),
                Err(ActionError::Unfit(why)) => results.push(refused(cert, placed, why, KeySeen::Opened)),
                Err(error) => return Err(error),
            }
        }
        crash::point("before-install", target.kind());
        let outcomes = target.converge(&materials).await;
        crash::point("after-install", target.kind());
        for (outcome, placed) in outcomes.into_iter().zip(wanted) {
            results.push(InstallResult {
                settled: state(outcome.state) == TargetState::Verified || (outcome.state == State::Installed && !target.verifies()),
                state: state(outcome.state),
                cert: outcome.cert,
                reason: outcome.reason,
                key: KeySeen::Opened,
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

    /// The chain and key of a placement, checked: from the cache if they were here before, else from the store.
    async fn material(&self, cert: &CertName, placed: &Placed) -> Result<Material, ActionError> {
        let version = self.version(cert, placed).await?;
        let key = self.private_key(cert, &placed.key).await?;
        let material = self.checked(cert, placed, version.chain, key)?;
        self.keeper.tidy(cert, placed.placement.generation);
        Ok(material)
    }

    /// The version that the certificate's signed record vouches for, by its hash.
    async fn version(&self, cert: &CertName, placed: &Placed) -> Result<VersionRecord, ActionError> {
        let key = RecordKey::Version(cert.clone(), placed.placement.generation);
        let kept = self.keeper.get(&key.key()).filter(|kept| kept.body_hash() == placed.version);
        let envelope = match kept {
            Some(envelope) => envelope,
            None => {
                // Who has it has its key too, and puts both right.
                let lacks = |why: &str| ActionError::Lacks(placed.key.clone(), format!("{key} {why}"));
                let stored = match self.read(&key.key()).await {
                    Err(ActionError::Store(StoreError::Corrupt { why, .. })) => return Err(lacks(&format!("cannot be read: {why}"))),
                    read => read?.1.ok_or_else(|| lacks("is not in the store"))?,
                };
                if stored.envelope.body_hash() != placed.version {
                    return Err(lacks("is not what the certificate's record vouches for"));
                }
                self.cache(&key.key(), &stored.envelope);
                stored.envelope
            }
        };
        envelope.record().map_err(|e| ActionError::Other(format!("{key}: {e}")))
    }

    /// Nothing is installed whose leaf, chain, key, names or validity are not what they should be.
    fn checked(&self, cert: &CertName, placed: &Placed, chain: String, key: Secret) -> Result<Material, ActionError> {
        let told = |why: String| format!("{cert} generation {}: {why}", placed.placement.generation);
        let refuse = |why: String| ActionError::Other(told(why));
        let unfit = |why: String| ActionError::Unfit(told(why));
        let now = self.clock.now().wall;
        let roots = self.roots.get(&placed.issuer).cloned().unwrap_or_else(|| Arc::new(Roots::none()));
        let generation = placed.placement.generation;
        let material =
            Material::new(cert.clone(), self.pen.node().clone(), generation, chain.clone(), key).map_err(|e| refuse(e.to_string()))?;
        let key_hash = certfleet_acme::spki_of_key(&material.key_pem).map_err(|e| refuse(e.to_string()))?;
        let names = |names: &[Identifier]| names.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        match () {
            () if material.leaf.fingerprint != placed.fingerprint => Err(refuse("the chain is not the one that was placed".into())),
            () if key_hash != material.leaf.key => Err(refuse("the private key is not the certificate's".into())),
            () if names(&material.leaf.names) != names(&placed.names) => Err(unfit("its names are not those that were placed".into())),
            () if material.leaf.not_after <= now => Err(unfit(format!("it expired at {}", material.leaf.not_after))),
            () => verify_chain(&chain, &roots, now).map(|()| material).map_err(|e| unfit(e.to_string())),
        }
    }
}

fn refused(cert: CertName, placed: Placed, why: String, key: KeySeen) -> InstallResult {
    InstallResult { cert, placed, state: TargetState::Failed, reason: Some(why), settled: false, key }
}

fn state(state: State) -> TargetState {
    match state {
        State::Installed => TargetState::Installed,
        State::Verified => TargetState::Verified,
        State::Failed if has(Mutant::FailedIsVerified) => TargetState::Verified,
        State::Failed => TargetState::Failed,
    }
}
