//! `store check|copy|backup|restore|recover`: one room for each.
//!
//! Always holds: what a command writes was verified before its first write; a command that was cut off in the middle can be given again;
//! membership never goes back by any of them.

mod backup;
mod check;
mod copy;
mod file;
mod home;
mod merge;
mod records;
mod recover;
mod references;
mod restore;

pub use backup::{BackedUp, backup_of, save_backup, store_backup};
pub use check::{Checked, Problem, store_check};
pub use copy::{Copied, Copying, check_store_url, store_copy};
pub use file::BACKUP_BYTES_MAX;
#[cfg(fuzzing)]
pub use file::read_backup;
pub use recover::{CertificateKey, KnownCertificate, Recovered, store_recover};
pub use restore::{Restored, Restoring, restore_to, store_restore};

#[cfg(test)]
mod tests;
