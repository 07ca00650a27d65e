//! What the CA asks, takes and issues.

use super::{Observer, lock};
use crate::ca::{Internet, Limit};
use crate::machine::{Machine, Standing};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Identifier, SpkiHash};
use certfleet_edge::Reply;
use certfleet_node::keeper::Keeper;
use http::Method;
use std::sync::Weak;

/// Where challenges are answered (RFC 8555 section 8.3).
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

impl Internet for Observer {
    fn ask(&self, host: &Identifier, token: &str) -> Result<String, String> {
        let machines = self.machines();
        let reached = |machine: &Machine| Some((machine.node.clone(), machine.is_deaf, machine.answers()?));
        // Names do not point to who was removed.
        let members = machines.values().filter(|machine| machine.standing != Standing::Removed);
        let tables: Vec<_> = members.filter_map(reached).filter(|(node, ..)| self.answering.contains(node)).collect();
        if tables.is_empty() {
            return Err("connection refused".into());
        }
        let (node, is_deaf, table) = lock(&self.draw).one(&tables).clone();
        if is_deaf {
            return Err("no answer came".into());
        }
        match table.load().respond(Some(host.as_str()), &Method::GET, &format!("{CHALLENGE_PATH}{token}")) {
            Reply::Challenge { key_authorization } => Ok(key_authorization),
            other => Err(format!("{node} answered {other:?}")),
        }
    }

    fn taken(&self, order: &str, key: &SpkiHash) {
        let whose = lock(&self.checkers).issuance.attempt(order, key);
        self.history.say("ca", || format!("takes the request of {order}"));
        match whose {
            Ok((cert, _)) => {
                let record = self.record(&cert);
                let mut checkers = lock(&self.checkers);
                let judged = checkers.issuance.taken(record.as_ref(), key);
                let judged = checkers.losses.excuse(&cert, key, judged);
                drop(checkers);
                self.judge("issuance", judged);
            }
            Err(why) => self.judge("issuance", Err(why)),
        }
    }

    fn issued(&self, order: &str, key: &SpkiHash, serial: u64) {
        self.history.say("ca", || format!("issues certificate {serial:04x} for {order}"));
        let whose = lock(&self.checkers).issuance.attempt(order, key);
        let Ok(whose) = whose else { return };
        let is_kept = self.is_kept(&whose.0, key);
        let mut checkers = lock(&self.checkers);
        let judged = checkers.issuance.issued(&whose, serial, is_kept);
        let judged = checkers.losses.excuse(&whose.0, key, judged);
        drop(checkers);
        self.judge("issuance", judged);
    }

    fn limited(&self, limit: Limit, subject: &str) {
        self.history.say("ca", || format!("grants no more {limit} for {subject}"));
        lock(&self.checkers).limits.refused(limit);
    }
}

impl Observer {
    /// Whether the private half is where it should be: in the store, or on the disk of the one node whose it is and nowhere else.
    fn is_kept(&self, cert: &CertName, key: &SpkiHash) -> bool {
        let at = RecordKey::PrivateKey(key.clone()).key();
        let is_stored = self.engine.get().and_then(Weak::upgrade).is_some_and(|engine| engine.envelope(&at).is_some());
        let (was_lost, is_gone) = {
            let checkers = lock(&self.checkers);
            (checkers.losses.has_lost(&at), checkers.losses.is_gone(&at))
        };
        match cert.node() {
            // The engine or the machine's owner is to blame.
            None if was_lost && is_gone => true,
            Some(_) if is_gone => !is_stored,
            // Who made it puts it back.
            None if was_lost => {
                let has_made = |machine: &Machine| Keeper::new(&machine.state()).made(cert, &at).is_some();
                is_stored || self.machines().values().any(has_made) || self.twins().values().any(has_made)
            }
            None => is_stored,
            Some(node) => {
                let has = |machine: &Machine| Keeper::new(&machine.state()).get(&at).is_some();
                !is_stored && (self.machines().get(&node).is_some_and(has) || self.twins().get(&node).is_some_and(has))
            }
        }
    }
}
