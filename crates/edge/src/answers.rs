//! What a request on the challenge listener gets: a challenge's answer (RFC 8555 section 8.3), a redirect, or nothing.
//!
//! Always holds: only managed names and the patterns of `[answer.thumbprints]` are answered; a challenge's answer is `token.thumbprint` and
//! nothing else; a path under `/.well-known/acme-challenge/` is never redirected; the host of a request is never sent back unless it is
//! managed. [`Answers::respond`] is pure.
//!
//! Deliberately not here: published tokens and peers, which other accounts' keys need. They come before and after the look-ups of
//! [`Answers::thumbprint_for`].

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use certfleet_core::names::Identifier;
use http::{HeaderValue, Method};

use crate::host::Host;

/// The path under which challenges are answered.
const CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";
/// Shortest token that is answered, in characters: 128 bits (RFC 8555 section 8.3).
const TOKEN_CHARS_MIN: usize = 22;
/// Longest token that is answered, in characters.
const TOKEN_CHARS_MAX: usize = 128;

/// The table that all listeners of a node read; a change of it is seen by the next request.
pub type AnswerTable = Arc<ArcSwap<Answers>>;

/// Which names are answered for, and with what. The default answers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    managed: Names<()>,
    thumbprint: Option<String>,
    by_name: Names<String>,
    redirect: bool,
}

/// What a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: the key authorization (RFC 8555 section 8.1).
    Challenge {
        /// `token.thumbprint`.
        key_authorization: String,
    },
    /// 308 to the same thing over https.
    Redirect {
        /// The whole URL.
        location: HeaderValue,
    },
    /// 404: a challenge for a managed name whose token is malformed.
    NoAnswer,
    /// 404, after a wait ([`crate::Limits::account_wait_max`]): a challenge for a managed name, and the account is not known yet.
    NotYet,
    /// 404: a name that is not managed, or nothing to be had on this listener.
    NotManaged,
    /// 405: a challenge asked for with another method than GET or HEAD.
    MethodNotAllowed,
    /// 400: no host, a malformed one, or a target that is no path.
    BadRequest,
}

impl Answers {
    /// * `managed`: the names of all managed certificates. A wildcard stands for redirects only: it is validated by dns-01.
    /// * `thumbprint`: of the fleet's account key (RFC 7638); `None` while there is none, or where answers are not to be stateless.
    /// * `by_name`: `[answer.thumbprints]`; here a wildcard is a pattern that covers one label. An exact name goes before a pattern, and both
    ///   go before `thumbprint`. These names are answered for whether managed or not, since a validation server may know no certificates.
    /// * `redirect`: whether other requests for managed names are sent to https.
    pub fn new(
        managed: impl IntoIterator<Item = Identifier>,
        thumbprint: Option<String>,
        by_name: impl IntoIterator<Item = (Identifier, String)>,
        redirect: bool,
    ) -> Self {
        let managed = Names::new(managed.into_iter().map(|name| (name, ())));
        Self { managed, thumbprint, by_name: Names::new(by_name), redirect }
    }

    /// What a request gets. `host` is the `Host` header (or the authority of an absolute URL) as it came, `path_and_query` the target as
    /// it came.
    pub fn respond(&self, host: Option<&str>, method: &Method, path_and_query: &str) -> Reply {
        let Some(host) = host.and_then(Host::parse) else { return Reply::BadRequest };
        if !is_path(path_and_query) {
            return Reply::BadRequest;
        }
        match path_and_query.strip_prefix(CHALLENGE_PREFIX) {
            Some(token) => self.challenge(&host, method, token),
            None => self.redirect(&host, path_and_query),
        }
    }

    fn challenge(&self, host: &Host, method: &Method, token: &str) -> Reply {
        if !self.managed.has_exact(host) && self.by_name.get(host).is_none() {
            return Reply::NotManaged;
        }
        if method != Method::GET && method != Method::HEAD {
            return Reply::MethodNotAllowed;
        }
        match self.thumbprint_for(host) {
            _ if !is_token(token) => Reply::NoAnswer,
            Some(thumbprint) => Reply::Challenge { key_authorization: format!("{token}.{thumbprint}") },
            None => Reply::NotYet,
        }
    }

    fn thumbprint_for(&self, host: &Host) -> Option<&str> {
        self.by_name.get(host).or(self.thumbprint.as_ref()).map(String::as_str)
    }

    fn redirect(&self, host: &Host, path_and_query: &str) -> Reply {
        if !self.redirect || self.managed.get(host).is_none() {
            return Reply::NotManaged;
        }
        let url = format!("https://{}{path_and_query}", host.in_url());
        HeaderValue::try_from(url.into_bytes()).map_or(Reply::BadRequest, |location| Reply::Redirect { location })
    }
}

/// A path that can stand in a header. Query and odd bytes are the client's business, and kept.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.bytes().any(|b| b <= b' ' || b == 0x7f)
}

/// base64url without padding, long enough not to be guessed and short enough to be one.
fn is_token(text: &str) -> bool {
    (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Identifiers and what belongs to them, looked up in constant time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows `*.`.
    wildcards: HashMap<Box<str>, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: HashMap::new() }
    }
}

impl<T> Names<T> {
    fn new(entries: impl IntoIterator<Item = (Identifier, T)>) -> Self {
        let mut names = Self::default();
        for (identifier, value) in entries {
            match identifier.as_str().strip_prefix("*.") {
                Some(parent) => names.wildcards.insert(parent.into(), value),
                None => names.exact.insert(identifier.as_str().into(), value),
            };
        }
        names
    }

    fn has_exact(&self, host: &Host) -> bool {
        self.exact.contains_key(host.name())
    }

    /// The exact name's, else that of the wildcard that covers it.
    fn get(&self, host: &Host) -> Option<&T> {
        self.exact.get(host.name()).or_else(|| host.parent().and_then(|parent| self.wildcards.get(parent)))
    }
}

#[cfg(test)]
mod tests;
