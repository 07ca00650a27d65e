//! Values that no node would write, for the suite that the real engines pass too.

use async_trait::async_trait;
use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use certfleet_store::conformance::Plant;
use certfleet_store::garbage_revision;

use super::{Content, Engine, Slot};

#[async_trait]
impl Plant for Engine {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let mut state = self.state();
        state.number += 1;
        let number = state.number.to_string();
        let slot = match Envelope::from_bytes(bytes) {
            Ok(envelope) => Slot { revision: envelope.revision(number), content: Content::Value(envelope) },
            Err(error) => {
                Slot { revision: garbage_revision(number, bytes, bytes.len() as u64), content: Content::Garbage(error.to_string()) }
            }
        };
        state.set(key, Some(slot), &self.nature);
    }
}
