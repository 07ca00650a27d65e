//! Invitations: what `invite` prints and `join` takes.
//!
//! A token says which fleet, which names, which roles, until when and how often. In this version it carries no signature: whoever can write
//! to the store could do without one.

use certfleet_core::encoding::{base64url, from_base64url};
use certfleet_core::names::{FleetId, NodeName, NodePattern};
use certfleet_core::spec::Roles;
use certfleet_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Every token begins with this.
pub const PREFIX: &str = "cf1.";
/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Drawn for this invitation; the records of those who use it name it.
    pub id: String,
    /// The fleet.
    pub fleet: FleetId,
    /// Its name, for people.
    pub fleet_name: String,
    /// Who may join with it.
    pub node: NodePattern,
    /// As what.
    pub roles: Roles,
    /// How many nodes.
    pub uses: u32,
    /// Until when.
    pub expires_at: Timestamp,
    /// A machine that was rebuilt may take the place of the old one.
    #[serde(default)]
    pub replace: bool,
}

/// Text that is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a certfleet token ({0}); a token is the one line that `certfleet invite NODE` prints, or the file it wrote")]
pub struct TokenError(pub &'static str);

impl Token {
    /// The line that is handed over.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("a token's fields serialise");
        format!("{PREFIX}{}", base64url(&json))
    }

    /// Reads [`Token::encode`]; white space around it is passed over.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError("it is too long"));
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError("it does not begin with `cf1.`"))?;
        let json = from_base64url(body).map_err(|_| TokenError("it was cut off or changed on its way"))?;
        serde_json::from_slice(&json).map_err(|_| TokenError("it was cut off or changed on its way"))
    }

    /// The node it is for, if it names exactly one.
    pub fn only_node(&self) -> Option<NodeName> {
        self.node.is_exact().then(|| self.node.as_str().parse().ok()).flatten()
    }

    /// Whether `node` may join with it.
    pub fn admits(&self, node: &NodeName) -> bool {
        self.node.matches(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            id: "00ff".into(),
            fleet: "f1".parse().expect("id"),
            fleet_name: "prod".into(),
            node: "web-*".parse().expect("pattern"),
            roles: certfleet_core::spec::all_roles(),
            uses: 3,
            expires_at: Timestamp::UNIX_EPOCH,
            replace: false,
        }
    }

    #[test]
    fn tokens_read_back() {
        let text = token().encode();
        assert_eq!(Token::decode(&format!("  {text}\n")), Ok(token()));
        assert!(token().admits(&"web-3".parse().expect("name")) && !token().admits(&"db-1".parse().expect("name")));
    }

    #[test]
    fn every_cut_or_changed_token_is_refused_with_a_reason() {
        let text = token().encode();
        for end in 0..text.len() {
            assert!(Token::decode(&text[..end]).is_err(), "{end}");
        }
        for bad in ["", "cf1.", "cf2.abc", "cf1.!!!", "hello"] {
            assert!(Token::decode(bad).expect_err("bad").to_string().contains("certfleet invite"));
        }
    }
}
