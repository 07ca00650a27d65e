//! The daemon: observe → decide → execute → report, until it is told to stop.
//!
//! One task owns the view. Store changes, outcomes, new configurations and the order to stop reach it through channels; it applies them,
//! decides, and starts the plan's actions as tasks. It sleeps until the plan's moment or a message.

mod door;
mod keeping;
mod listeners;
mod moving;
mod news;
mod parts;
mod run;
mod state;
mod surroundings;
mod take;
mod work;

pub use parts::DaemonError;
pub use run::{Control, run};
pub use surroundings::{Authorities, Surroundings, Targets, Task, ThisMachine};
