//! The records of the store: what stands in each envelope's body.
//!
//! Always holds: fields that this version does not know are kept when a record is written again (`extra`), so that an older node does not
//! undo what a newer one wrote. Times are UTC in RFC 3339.

mod cert;
mod fleet;
mod home;

pub use cert::{
    Attempt, AttemptEnd, CertRecord, Failures, HISTORY_ENTRIES_MAX, HistoryEntry, Holder, Placed, Placement, Step, VersionRecord,
};
pub use fleet::{
    AccountKey, AccountKeyRecord, AccountRecord, FleetRecord, InvitationRecord, InvitationUse, NodeRecord, Presence, PresenceState,
    PrivateKeyRecord, Removal, Report, RequestRecord, TargetState, WrapRecord,
};
pub use home::{HomeRecord, HomeState};

/// Fields of a record that this version does not know.
pub type Extra = serde_json::Map<String, serde_json::Value>;
