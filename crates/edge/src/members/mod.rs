//! The listener for nodes: TLS 1.3 in which both sides prove who they are by their node keys, and bounded questions and answers in it.
//!
//! Always holds: whoever answers is told the key that signed this handshake, and no other; connections of members and of everybody else are
//! counted apart, so that no crowd of strangers pushes out a member; a member that is one no more is cut off.
//!
//! Deliberately not here: who is a member and what may be asked (a [`MemberService`] says both).

mod accept;
mod reply;
mod talk;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use certfleet_core::trust::{SigningKey, VerifyingKey};

use crate::address::ListenAddress;
use crate::bind::{BindError, bind};
use crate::limits::Limits;
use crate::serve::ListenerHandle;
pub use reply::MemberReply;

/// A question.
#[derive(Debug, Clone)]
pub struct MemberRequest {
    /// Whether it is a POST; nothing else is asked.
    pub is_post: bool,
    /// Where to, without a query.
    pub path: String,
    /// What.
    pub body: Bytes,
}

/// Who answers.
#[async_trait]
pub trait MemberService: Send + Sync {
    /// Whether it is a member's key now. Must not wait for anything.
    fn knows(&self, peer: &VerifyingKey) -> bool;

    /// Returns when the key is not a member's any more.
    async fn parted(&self, peer: &VerifyingKey);

    /// Answers the one that has this key. Dropped when the client hangs up.
    async fn reply(&self, peer: VerifyingKey, request: MemberRequest) -> MemberReply;
}

/// Bounds of a listener for nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberLimits {
    /// For those who are not known to be members yet: handshakes, and machines that ask to be let in.
    pub strangers: Limits,
    /// Connections of members at one time.
    pub members_max: usize,
    /// Of one member.
    pub per_member_max: usize,
    /// How long the handshake may take.
    pub handshake_time_max: Duration,
    /// How long a member's connection may be idle.
    pub idle_time_max: Duration,
    /// How long a question may take to arrive.
    pub body_time_max: Duration,
    /// Longest question, in bytes.
    pub body_bytes_max: usize,
}

impl MemberLimits {
    /// The usual bounds, with this longest question.
    pub fn new(body_bytes_max: usize) -> Self {
        Self {
            strangers: Limits::default(),
            members_max: 16_384,
            per_member_max: 64,
            handshake_time_max: Duration::from_secs(5),
            idle_time_max: Duration::from_secs(90),
            body_time_max: Duration::from_secs(20),
            body_bytes_max,
        }
    }
}

/// What a listener for nodes is known by, and for what.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// The node's own key.
    pub key: SigningKey,
    /// The application protocol (RFC 7301): whoever speaks another gets no answer.
    pub protocol: &'static [u8],
}

/// Starts the listener for nodes.
pub async fn listen_members(
    address: ListenAddress,
    identity: ServerIdentity,
    service: Arc<dyn MemberService>,
    limits: MemberLimits,
) -> Result<ListenerHandle, BindError> {
    let tls = tls::config(&identity)
        .map_err(|error| BindError::other(address.clone(), format!("this node's key cannot be used for TLS: {error}")))?;
    let bound = bind(address, 0o600, None).await?;
    Ok(accept::serve(bound, talk::Hall { tls, protocol: identity.protocol, service, limits }))
}
