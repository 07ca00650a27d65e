//! http-01 (RFC 8555 section 8.3).
//!
//! Always holds: what is not a token's syntax gets no answer, so that nobody can make a server echo text of their choice.

/// Where the CA looks; the token follows.
const PATH: &str = "/.well-known/acme-challenge/";
/// Fewest characters of a token: 128 bits in base64url (RFC 8555 section 8.3).
const TOKEN_CHARS_MIN: usize = 22;
/// Most characters of a token that are taken.
const TOKEN_CHARS_MAX: usize = 128;

/// http-01.
#[derive(Debug, Clone, Copy)]
pub struct Http01;

impl Http01 {
    /// What is served for `token` (RFC 8555 section 8.1); `None` if it is no token.
    pub fn key_authorization(token: &str, thumbprint: &str) -> Option<String> {
        Self::is_token(token).then(|| format!("{token}.{thumbprint}"))
    }

    /// Whether `text` has the syntax of a token: `[A-Za-z0-9_-]{22,128}`.
    pub fn is_token(text: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
    }

    /// The token that a request for `path` is about; `None` for every other path.
    pub fn token_of(path: &str) -> Option<&str> {
        path.strip_prefix(PATH).filter(|token| Self::is_token(token))
    }

    /// The path under which the answer to `token` is looked for.
    pub fn path(token: &str) -> String {
        format!("{PATH}{token}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    #[test]
    fn the_answer_is_token_and_thumbprint() {
        assert_eq!(Http01::key_authorization(TOKEN, "9jg46WB3"), Some(format!("{TOKEN}.9jg46WB3")));
        assert_eq!(Http01::token_of(&Http01::path(TOKEN)), Some(TOKEN));
    }

    #[test]
    fn only_tokens_are_answered() {
        for good in [&"a".repeat(22), &"Z".repeat(128), "0123456789_-abcdefghijk"] {
            assert!(Http01::is_token(good), "{good}");
        }
        let (short, long) = ("a".repeat(21), "a".repeat(129));
        for bad in ["", &short, &long, "0123456789/0123456789abc", "0123456789.0123456789abc", "0123456789%0a0123456789", "ääääääääääääää"]
        {
            assert_eq!(Http01::key_authorization(bad, "t"), None, "{bad}");
            assert_eq!(Http01::token_of(&Http01::path(bad)), None, "{bad}");
        }
        assert_eq!(Http01::token_of("/"), None);
    }
}
