//! Who may write what: the table of ARCHITECTURE.md, "The store", as code. There is no other place where this is decided.

use crate::key::RecordKey;
use crate::names::NodeName;
use crate::spec::{Role, Roles};

/// Whether a member with these roles may write the record. `fleet` is the fleet key's, and `joining/` is checked by itself.
pub fn may_write(key: &RecordKey, writer: &NodeName, granted: &Roles) -> bool {
    let issues = granted.contains(&Role::Issue);
    let deploys = granted.contains(&Role::Deploy);
    match key {
        RecordKey::Fleet | RecordKey::Joining(_) => false,
        RecordKey::Home | RecordKey::Node(_) | RecordKey::Invitation(_) => issues,
        RecordKey::AccountKey | RecordKey::Account(_) | RecordKey::Cert(_) | RecordKey::Version(..) => issues,
        RecordKey::Presence(node) => writer == node,
        RecordKey::Report(_, node, _) => writer == node && deploys,
        RecordKey::Request(_, node) => writer == node && deploys,
        // Whoever can open a key may wrap it; that it is the right key is seen when it is opened.
        RecordKey::PrivateKey(_) | RecordKey::Wrap(..) => issues || deploys,
    }
}
