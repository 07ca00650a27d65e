//! Invitations: what `invite` prints and `join` takes.
//!
//! A token holds what the fleet key grants, signed; the fleet's verifying key, by which the joining machine knows the fleet; and a signing key
//! of its own, by which it proves that it holds the token. Whoever has the token can use it: it is a secret until it expires or is used.

use certfleet_core::encoding::{base64url, from_base64url};
use certfleet_core::names::NodeName;
use certfleet_core::trust::{Grant, GrantError, SignedGrant, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Every token begins with this.
pub const PREFIX: &str = "cf1.";
/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// So much of a token's text can hold its key, in characters: 32 bytes in base64url.
pub const TELLING_CHARS_MIN: usize = 43;

/// What a token holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it allows, by the word of the fleet key.
    pub grant: SignedGrant,
    /// The fleet's keys.
    pub verifying_keys: Vec<VerifyingKey>,
    /// Whose public half is in the grant.
    pub join_key: SigningKey,
}

/// Text that is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a certfleet token ({0}); a token is the one line that `certfleet invite NODE` prints, or the file it wrote")]
pub struct TokenError(pub &'static str);

impl Token {
    /// The line that is handed over.
    pub fn encode(&self) -> Zeroizing<String> {
        // Sized first, so that no copy is left behind by growing.
        let mut json = Zeroizing::new(Vec::with_capacity(TOKEN_BYTES_MAX));
        serde_json::to_writer(&mut *json, self).expect("a token's fields serialise");
        let body = Zeroizing::new(base64url(&json));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + body.len()));
        text.push_str(PREFIX);
        text.push_str(&body);
        text
    }

    /// Reads [`Token::encode`]; white space around it is passed over.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError("it is too long"));
        }
        let body = text.strip_prefix(PREFIX).ok_or(TokenError("it does not begin with `cf1.`"))?;
        let changed = TokenError("it was cut off or changed on its way");
        let json = Zeroizing::new(from_base64url(body).map_err(|_| changed.clone())?);
        let token: Self = serde_json::from_slice(&json).map_err(|_| changed.clone())?;
        token.grant().map(|_| token).map_err(|_| changed)
    }

    /// What it allows.
    pub fn grant(&self) -> Result<Grant, GrantError> {
        self.grant.verify(&self.verifying_keys)
    }
}

/// Whether a token, or enough of the beginning of one, stands somewhere in a text: then nobody prints the text.
pub fn stands_in(text: &str) -> bool {
    let in_base64url = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(PREFIX).any(|(at, _)| text[at + PREFIX.len()..].chars().take_while(in_base64url).count() >= TELLING_CHARS_MIN)
}

/// The node that a grant is for, if it names exactly one.
pub fn only_node(grant: &Grant) -> Option<NodeName> {
    grant.node.is_exact().then(|| grant.node.as_str().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use certfleet_core::time::Timestamp;

    use super::*;

    fn token() -> Token {
        let (fleet_key, join_key) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let grant = Grant {
            id: "00ff".parse().expect("id"),
            fleet: "f1".parse().expect("id"),
            fleet_name: "prod".into(),
            epoch: 0,
            store: "file:///srv/certfleet".into(),
            node: "web-*".parse().expect("pattern"),
            roles: certfleet_core::spec::all_roles(),
            uses: 3,
            expires_at: Timestamp::UNIX_EPOCH,
            replace: false,
            servers: Vec::new(),
            join_key: join_key.verifying_key(),
        };
        Token { grant: SignedGrant::new(&grant, &fleet_key), verifying_keys: vec![fleet_key.verifying_key()], join_key }
    }

    #[test]
    fn tokens_read_back() {
        let text = token().encode();
        assert_eq!(Token::decode(&format!("  {}\n", text.as_str())), Ok(token()));
        assert_eq!(token().grant().expect("signed").uses, 3);
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
        let mut forged = token();
        forged.grant.grant = forged.grant.grant.replace("web-*", "*");
        assert!(Token::decode(&forged.encode()).is_err(), "the grant is signed");
    }

    #[test]
    fn a_token_is_seen_in_a_text() {
        assert!(stands_in(&format!("unexpected argument '{}' found", token().encode().as_str())));
        assert!(!stands_in("cf1.example.com") && !stands_in("a token begins with cf1."));
    }

    #[test]
    fn a_token_does_not_print_its_key() {
        assert!(format!("{:?}", token()).contains("[secret]"));
    }
}
