//! Listeners of certfleet: challenges, redirects, admin, metrics, and members of the fleet.
//!
//! Always holds: what a request gets is decided by a pure function ([`Answers::respond`]) over a table that is swapped whole; a listener's
//! memory and descriptors are bounded by its [`Limits`], whoever connects; a client that sends its request at once is answered however many
//! others are slow. Nothing here keeps a request waiting for the store, the CA or a lock, but for what members ask of a store.
//!
//! Deliberately not here: proxying, and what status, health and metrics say (an [`AdminSource`] does). TLS, request bodies and keep-alive are
//! for members alone (`members`).

mod address;
mod admin;
mod answers;
mod bind;
mod challenges;
mod client;
mod crowd;
#[cfg(fuzzing)]
pub mod fuzz;
mod host;
mod limits;
mod members;
mod serve;

pub use address::{AddressError, ListenAddress};
pub use admin::{AdminSource, Health, listen_admin, listen_metrics};
pub use answers::{AnswerTable, Answers, Reply};
pub use bind::{BindError, BindProblem};
pub use challenges::{Answered, EdgeEvents, listen_challenges};
pub use client::{AdminClientError, admin_get};
pub use limits::Limits;
pub use members::{MemberLimits, MemberReply, MemberRequest, MemberService, ServerIdentity, listen_members};
pub use serve::ListenerHandle;
