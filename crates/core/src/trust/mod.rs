//! Whose word counts: keys, grants, the roster of members, and the tables of who may write what, and who sees what of a served store.
//!
//! Always holds: a record counts only if its envelope is signed, over the fleet, its key and all that is in it, by a member that may write
//! that key, or by the fleet key. Everything here is a check of values against values; the same arguments give the same answer.
//!
//! Deliberately not here: sealing (it draws randomness, so it is in the node), and what to do about a value that does not count (`decide`).

mod grant;
mod keys;
mod known;
mod readers;
mod roster;
mod writers;

pub use grant::{Grant, GrantError, Proof, SignedGrant};
pub use keys::{KEY_BYTES, KeyFormError, SealingKey, Signature, SignatureFormError, SigningKey, VerifyingKey};
pub use readers::{Refused, Sight};
pub use roster::{Distrust, Member, Roster};
pub use writers::may_write;
