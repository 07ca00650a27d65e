//! The fleet's account key gives way to another only if that was announced beside it, or if nobody can open it any more.

use certfleet_core::records::AccountKeyRecord;

use super::Presences;

/// The account key's record was written.
pub fn wrote(before: Option<&AccountKeyRecord>, after: Option<&AccountKeyRecord>, presences: &Presences) -> Result<(), String> {
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    let is_known = before.keys().any(|key| key.spki == after.current.spki);
    if is_known || presences.was_lacked(&before.current.spki) {
        return Ok(());
    }
    Err(format!(
        "the account key {:.8} gives way to {:.8}, which nobody announced",
        before.current.spki.as_str(),
        after.current.spki.as_str()
    ))
}
