use http::Method;
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
const PRINT: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

fn names(texts: &[&str]) -> Vec<Identifier> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

fn table() -> Answers {
    let managed = names(&["example.com", "*.example.org", "2001:db8::1", "192.0.2.7"]);
    let by_name = [("*.workers.example", "pattern"), ("one.workers.example", "exact"), ("example.com", "mine")];
    Answers::new(managed, Some(PRINT.into()), by_name.map(|(n, t)| (n.parse().unwrap(), t.into())), true)
}

fn get(answers: &Answers, host: &str, path: &str) -> Reply {
    answers.respond(Some(host), &Method::GET, path)
}

fn challenge(token: &str) -> String {
    format!("/.well-known/acme-challenge/{token}")
}

fn answered(thumbprint: &str) -> Reply {
    Reply::Challenge { key_authorization: format!("{TOKEN}.{thumbprint}") }
}

fn redirected(url: &str) -> Reply {
    Reply::Redirect { location: HeaderValue::from_str(url).unwrap() }
}

#[test]
fn a_challenge_of_a_managed_name_is_answered() {
    let answers = Answers::new(names(&["example.com", "2001:db8::1", "192.0.2.7"]), Some(PRINT.into()), [], false);
    let hosts = ["example.com", "EXAMPLE.com.", "example.com:80", "example.com.:5002", "[2001:db8:0:0::1]:80", "192.0.2.7", "192.0.2.7:80"];
    for host in hosts {
        assert_eq!(get(&answers, host, &challenge(TOKEN)), answered(PRINT), "{host}");
        assert_eq!(answers.respond(Some(host), &Method::HEAD, &challenge(TOKEN)), answered(PRINT), "{host}");
    }
    for host in ["www.example.com", "example.org", "com", "xexample.com", "[2001:db8::2]", "2001:db8::1", "192.0.2.70"] {
        let reply = get(&answers, host, &challenge(TOKEN));
        assert!(matches!(reply, Reply::NotManaged | Reply::BadRequest), "{host}: {reply:?}");
    }
}

#[test]
fn thumbprints_by_name_go_first_and_exact_before_pattern() {
    let answers = table();
    assert_eq!(get(&answers, "example.com", &challenge(TOKEN)), answered("mine"));
    assert_eq!(get(&answers, "one.workers.example", &challenge(TOKEN)), answered("exact"));
    assert_eq!(get(&answers, "two.workers.example:80", &challenge(TOKEN)), answered("pattern"));
    assert_eq!(get(&answers, "a.two.workers.example", &challenge(TOKEN)), Reply::NotManaged);
    assert_eq!(get(&answers, "workers.example", &challenge(TOKEN)), Reply::NotManaged);
    assert_eq!(get(&answers, "192.0.2.7", &challenge(TOKEN)), answered(PRINT));
    assert_eq!(get(&answers, "two.workers.example", "/"), Reply::NotManaged, "answered for, but not managed: no redirect");
}

#[test]
fn a_wildcard_is_redirected_and_not_answered() {
    let answers = table();
    assert_eq!(get(&answers, "www.example.org:80", "/a?b"), redirected("https://www.example.org/a?b"));
    assert_eq!(get(&answers, "www.example.org", &challenge(TOKEN)), Reply::NotManaged);
    assert_eq!(get(&answers, "example.org", "/"), Reply::NotManaged);
    assert_eq!(get(&answers, "a.b.example.org", "/"), Reply::NotManaged);
}

#[test]
fn only_tokens_are_answered() {
    let answers = table();
    let (short, long) = ("a".repeat(22), "a".repeat(128));
    for token in [short.as_str(), long.as_str()] {
        assert!(matches!(get(&answers, "example.com", &challenge(token)), Reply::Challenge { .. }), "{token}");
    }
    let (short, long) = ("a".repeat(21), "a".repeat(129));
    let dotted = format!("{TOKEN}.x");
    let slashed = format!("{TOKEN}/");
    let queried = format!("{TOKEN}?x=1");
    let escaped = format!("%2e{TOKEN}");
    let foreign = format!("{TOKEN}é");
    for token in [short.as_str(), &long, "", &dotted, &slashed, &queried, &escaped, &foreign, "../../../../etc/passwd-is-long-enough"] {
        assert_eq!(get(&answers, "example.com", &challenge(token)), Reply::NoAnswer, "{token}");
    }
    assert_eq!(get(&answers, "example.com", &format!("//.well-known/acme-challenge/{TOKEN}")), {
        redirected(&format!("https://example.com//.well-known/acme-challenge/{TOKEN}"))
    });
}

#[test]
fn other_methods_are_refused_for_challenges_only() {
    let answers = table();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(answers.respond(Some("example.com"), &method, &challenge(TOKEN)), Reply::MethodNotAllowed);
        assert_eq!(answers.respond(Some("example.com"), &method, "/form?x"), redirected("https://example.com/form?x"));
        assert_eq!(answers.respond(Some("other.example"), &method, &challenge(TOKEN)), Reply::NotManaged);
    }
}

#[test]
fn without_an_account_there_is_no_answer_but_a_redirect() {
    let answers = Answers::new(names(&["example.com"]), None, [], true);
    assert_eq!(get(&answers, "example.com", &challenge(TOKEN)), Reply::NotYet);
    assert_eq!(get(&answers, "example.com", &challenge("short")), Reply::NoAnswer);
    assert_eq!(get(&answers, "example.com", "/"), redirected("https://example.com/"));
}

#[test]
fn path_and_query_are_kept_byte_for_byte() {
    let target = "//x/%2F/é/a+b;c=d/..//.?q=%0d%0a&r=\"{}|\\^`'<>&&==";
    assert_eq!(
        get(&table(), "Example.com:80", target),
        Reply::Redirect { location: HeaderValue::from_bytes(format!("https://example.com{target}").as_bytes()).unwrap() }
    );
    assert_eq!(get(&table(), "[2001:DB8::1]:80", "/x"), redirected("https://[2001:db8::1]/x"));
}

#[test]
fn redirects_can_be_off() {
    let answers = Answers::new(names(&["example.com"]), Some(PRINT.into()), [], false);
    assert_eq!(get(&answers, "example.com", "/"), Reply::NotManaged);
    assert_eq!(get(&Answers::default(), "example.com", &challenge(TOKEN)), Reply::NotManaged);
}

#[test]
fn malformed_requests_are_refused() {
    let answers = table();
    assert_eq!(answers.respond(None, &Method::GET, "/"), Reply::BadRequest);
    for host in ["", "exa mple.com", "example.com:x", "u@example.com", "example.com/x", "example.com\r\nX: y", "[::1"] {
        assert_eq!(get(&answers, host, "/"), Reply::BadRequest, "{host:?}");
    }
    for path in ["", "*", "x", "http://example.com/", "/a b", "/a\r\nX: y", "/\0", "/\x7f"] {
        assert_eq!(get(&answers, "example.com", path), Reply::BadRequest, "{path:?}");
    }
}

fn any_host() -> impl Strategy<Value = String> {
    let parts =
        prop::sample::select(vec!["example", "com", "org", "www", "workers", ".", ".", ":", "80", "[", "]", "2001:db8::1", "@", "/", "é"]);
    let near = prop::collection::vec(parts, 0..7).prop_map(|parts| parts.concat());
    let known = prop::sample::select(vec!["example.com", "www.example.org", "[2001:db8::1]:80", "x.workers.example:1", "EXAMPLE.COM."]);
    prop_oneof![near, known.prop_map(str::to_owned), any::<String>()]
}

fn any_target() -> impl Strategy<Value = String> {
    let token = "[A-Za-z0-9_-]{0,140}".prop_map(|t| challenge(&t));
    let odd = "\\PC{0,40}".prop_map(|t| challenge(&t));
    prop_oneof![token, odd, "/\\PC{0,60}", any::<String>()]
}

fn is_answered_for(name: &str) -> bool {
    let one_label = |parent: &str| name.strip_suffix(parent).is_some_and(|label| !label.is_empty() && !label.contains('.'));
    ["example.com", "2001:db8::1", "192.0.2.7"].contains(&name) || one_label(".workers.example")
}

proptest! {
    #[test]
    fn nothing_but_token_and_thumbprint_is_said_and_only_for_managed_names(host in any_host(), target in any_target(), head in any::<bool>()) {
        let method = if head { Method::HEAD } else { Method::GET };
        let name = host.rsplit_once("]:").map_or(host.as_str(), |(name, _)| name).trim_matches(['[', ']']);
        let name = if host.starts_with('[') { name } else { name.split(':').next().unwrap() };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        match table().respond(Some(&host), &method, &target) {
            Reply::Challenge { key_authorization } => {
                prop_assert!(is_answered_for(&name), "{host:?}");
                let (token, thumbprint) = key_authorization.split_once('.').unwrap();
                prop_assert_eq!(&target, &challenge(token));
                prop_assert!((22..=128).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
                prop_assert!([PRINT, "mine", "exact", "pattern"].contains(&thumbprint));
            }
            Reply::Redirect { location } => {
                let host_in_url = if name.contains(':') { format!("[{name}]") } else { name };
                let expected = format!("https://{host_in_url}{target}");
                prop_assert_eq!(location.as_bytes(), expected.as_bytes());
                prop_assert!(!target.starts_with("/.well-known/acme-challenge/"));
            }
            _ => {}
        }
    }
}
