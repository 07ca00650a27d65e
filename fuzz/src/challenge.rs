//! What a request on port 80 gets, of any host and target: the host on the first line, then the target.
//!
//! Also holds: an answer is the token that was asked for and the account's thumbprint, and nobody is sent to a host that is not managed.

use certfleet_edge::{Answers, Reply};
use http::Method;

use crate::first_line;

const THUMBPRINT: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const ELSEWHERE: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";

/// The table of a node that answers for two names and for a pattern, and redirects.
pub fn table() -> Answers {
    let name = |text: &str| text.parse().expect("a name");
    let managed = [name("example.com"), name("*.example.com"), name("192.0.2.7"), name("2001:db8::7")];
    Answers::new(managed, Some(THUMBPRINT.into()), [(name("*.example.net"), ELSEWHERE.into())], true)
}

/// Asks. True: there is an answer.
pub fn read(data: &[u8]) -> bool {
    let (host, target) = first_line(data);
    let (Ok(host), Ok(target)) = (std::str::from_utf8(host), std::str::from_utf8(target)) else { return false };
    let table = table();
    for method in [Method::GET, Method::HEAD, Method::POST] {
        let reply = table.respond(Some(host), &method, target);
        if let Reply::Redirect { location } = &reply {
            let location = location.to_str().unwrap_or("https://[2001:db8::7]/");
            let to = ["example.com", "192.0.2.7", "[2001:db8::7]"];
            let host = location["https://".len()..].split('/').next().unwrap_or_default();
            assert!(to.contains(&host) || host.ends_with(".example.com"), "sent to {location}");
        }
    }
    match table.respond(Some(host), &Method::GET, target) {
        Reply::Challenge { key_authorization } => {
            let token = target.strip_prefix("/.well-known/acme-challenge/").expect("only challenges are answered");
            assert!([THUMBPRINT, ELSEWHERE].iter().any(|known| key_authorization == format!("{token}.{known}")), "{key_authorization}");
            true
        }
        Reply::Redirect { .. } => true,
        _ => false,
    }
}
