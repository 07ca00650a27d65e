//! Deployment targets of certfleet: stage, check, activate, verify.
//!
//! A [`Target`] brings certificates to one server on this machine and looks whether they are served. The kinds are tiny (which files, how to
//! check, how to activate); one [driver](mod@driver) does the rest for all of them, so that each kind fails in the same way: the old files
//! are put back and the report is `failed` with the tool's own words.
//!
//! Always holds: a private key is never in a file that others can read, from the file's first byte on; a file is whole or not there; what is
//! already right is not touched; a report of `verified` means that a handshake showed this very certificate and proved its key.
//!
//! Deliberately not here: which certificate belongs on which node, when to try again, and old generations (the node keeps those).

mod command;
mod config;
mod disk;
mod driver;
mod duration;
mod hook;
mod material;
mod owner;
mod stand_in;
mod targets;
mod template;
mod verify;

pub use command::{Command, SignalName};
pub use config::{Common, Run, TargetConfig};
pub use duration::parse_duration;
pub use material::{BuildError, DeployError, Material, Outcome, State, Target};
pub use targets::{files, haproxy, nginx};
pub use template::PathTemplate;
pub use verify::Verify;
