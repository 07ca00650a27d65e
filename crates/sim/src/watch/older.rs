//! What presences and reports said before: what somebody may put there again.

use std::collections::BTreeMap;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use serde_json::Value;

/// The first value that said something, for everything that a record said.
#[derive(Debug, Default)]
pub struct Older {
    said: BTreeMap<Key, Vec<Envelope>>,
}

impl Older {
    /// A member wrote.
    pub fn wrote(&mut self, key: &Key, after: &Envelope) {
        if matches!(RecordKey::of(key), Some(RecordKey::Presence(_) | RecordKey::Report(..))) {
            let said = self.said.entry(key.clone()).or_default();
            if said.last().is_none_or(|last| words(last) != words(after)) {
                said.push(after.clone());
            }
        }
    }

    /// What a record said, before what it says now too.
    pub fn of(&self, key: &Key) -> &[Envelope] {
        self.said.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A backup was restored: what was said before that does not count as said by anybody who is there (docs/threat-model.md).
    pub fn is_restored(&mut self) {
        self.said.clear();
    }
}

/// All but when, and how often, it was said.
fn words(envelope: &Envelope) -> Value {
    let mut body = envelope.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|field, _| !matches!(field.as_str(), "at" | "beat"));
    }
    body
}

#[cfg(test)]
mod tests {
    use certfleet_core::envelope::Nonce;
    use serde_json::json;

    use super::*;

    #[test]
    fn beats_that_say_the_same_are_remembered_once() {
        let (mut older, key) = (Older::default(), "presence/n1".parse().expect("a key"));
        let value = |beat: u8, state: &str| {
            Envelope::new("n1".parse().expect("a name"), Nonce::from_random([beat; 16]), &json!({ "beat": beat, "state": state }))
        };
        for (beat, state) in [(1, "live"), (2, "live"), (3, "leaving")] {
            older.wrote(&key, &value(beat, state).expect("plain JSON"));
        }
        let beats: Vec<_> = older.of(&key).iter().map(|said| said.body["beat"].as_u64()).collect();
        assert_eq!(beats, [Some(1), Some(3)]);
        older.is_restored();
        assert!(older.of(&key).is_empty());
    }
}
