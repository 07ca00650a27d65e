//! What goes wrong at a CA, drawn.

use std::time::Duration;

use certfleet_core::ca::{CaError, Problem};

use super::{Ca, Mood, State, refused};
use crate::draw::Draw;

/// Of a thousand calls so many are refused while the CA does not know its own nonces.
const FORGOTTEN_OF_1000: u64 = 400;
/// Longest outage that is announced, in minutes; it may end sooner, or go on.
const OUTAGE_MINUTES_MAX: u64 = 90;

impl Mood {
    /// Any.
    pub fn drawn(draw: &mut Draw) -> Self {
        let outage = Self::Maintenance(Duration::from_secs(draw.between(1, OUTAGE_MINUTES_MAX) * 60));
        *draw.one(&[Self::Works, Self::Works, Self::Works, Self::Down, Self::Busy, Self::Silent, Self::Fails, Self::Forgetful, outage])
    }
}

impl Ca {
    /// Revokes a certificate that is not revoked yet, as after a mistake of its own; `which` says which of them. Who looks at renewal information
    /// will see it; today nobody does, so that it is counted and nothing more.
    pub fn revoke(&self, which: u64) {
        let mut state = self.state();
        let left: Vec<u64> = (1..=state.issued as u64).filter(|serial| !state.revoked.contains(serial)).collect();
        let index = which.checked_rem(left.len() as u64).and_then(|index| usize::try_from(index).ok());
        if let Some(serial) = index.and_then(|index| left.get(index)) {
            state.revoked.insert(*serial);
        }
    }

    /// How many certificates were revoked.
    pub fn revoked(&self) -> usize {
        self.state().revoked.len()
    }
}

impl State {
    /// Whether it answers at all now.
    pub(super) fn is_up(&self) -> Result<(), CaError> {
        let away = |retry_after| Err(CaError::Busy { problem: Problem::new("", "", Some(503)), retry_after });
        match self.mood {
            Mood::Down => away(None),
            Mood::Maintenance(span) => away(Some(span)),
            _ => Ok(()),
        }
    }

    /// Whether it takes a signed message. A client tries again with each new nonce it is given, for many rounds; what this trait shows of
    /// bad nonces is what the client says when none was good.
    pub(super) fn is_taken(&mut self) -> Result<(), CaError> {
        self.is_up()?;
        match self.mood == Mood::Forgetful && self.draw.once_in_a_thousand(FORGOTTEN_OF_1000) {
            true => Err(refused("badNonce", "JWS has an invalid anti-replay nonce", 400)),
            false => Ok(()),
        }
    }
}
