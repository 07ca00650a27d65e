//! What the client makes of answers that a real CA gives only on its bad days. The server here gives canned answers; it is no CA.

mod canned;

use std::time::Duration;

use canned::Server;
use certfleet_acme::{AccountKey, AccountRef, CertificateAuthority, Client};
use certfleet_core::ca::{CaError, OrderStatus, Problem};

const LIMIT: Duration = Duration::from_secs(10);

fn account(server: &Server) -> AccountRef {
    AccountRef { url: server.url("account/1"), key: AccountKey::generate().expect("key") }
}

fn client(server: &Server) -> Client {
    Client::new(&server.url("directory"), None).expect("loopback may be without TLS")
}

#[tokio::test]
async fn a_bare_429_is_busy_with_its_retry_after() {
    let server = Server::start().await;
    server.answer("/new-order", "429 Too Many Requests", "Retry-After: 7200\r\n", "slow down");
    let said = client(&server).new_order(&account(&server), &["a.example".parse().expect("name")], None).await;
    let problem = Problem::new("", "HTTP status 429 Too Many Requests without a problem document", Some(429));
    assert_eq!(said, Err(CaError::Busy { problem, retry_after: Some(Duration::from_secs(7200)) }));
}

#[tokio::test]
async fn a_broken_ca_is_busy_wherever_it_breaks() {
    for (path, status) in
        [("/directory", "503 Service Unavailable"), ("/new-nonce", "500 Internal Server Error"), ("/order", "502 Bad Gateway")]
    {
        let server = Server::start().await;
        server.answer(path, status, "Retry-After: 30\r\n", "<html>sorry</html>");
        let said = client(&server).order(&account(&server), &server.url("order")).await;
        assert!(matches!(&said, Err(CaError::Busy { retry_after: Some(wait), .. }) if wait.as_secs() == 30), "{path}: {said:?}");
    }
}

#[tokio::test]
async fn a_problem_document_is_passed_on() {
    let server = Server::start().await;
    let problem = r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"not this one","status":400}"#;
    server.answer("/new-order", "400 Bad Request", "", problem);
    let said = client(&server).new_order(&account(&server), &["a.example".parse().expect("name")], None).await;
    assert_eq!(said, Err(CaError::Refused(Problem::new("rejectedIdentifier", "not this one", Some(400)))));
}

#[tokio::test]
async fn an_order_tells_its_end_and_when_to_come_back() {
    let server = Server::start().await;
    let order = r#"{"status":"processing","expires":"2030-01-02T03:04:05Z","authorizations":[],"finalize":"f"}"#;
    server.answer("/order", "200 OK", "Retry-After: 3\r\n", order);
    let seen = client(&server).order(&account(&server), &server.url("order")).await.expect("order");
    assert_eq!((seen.status, seen.retry_after), (OrderStatus::Processing, Some(Duration::from_secs(3))));
    assert_eq!(seen.expires, "2030-01-02T03:04:05Z".parse().ok());
}

#[tokio::test]
async fn what_is_not_acme_is_malformed() {
    let too_much = "x".repeat((1 << 20) + 1);
    for (path, body, told) in
        [("/directory", "<html>", "not an ACME directory"), ("/order", "<html>", "JSON"), ("/order", too_much.as_str(), "1048576")]
    {
        let server = Server::start().await;
        server.answer(path, "200 OK", "", body);
        let said = client(&server).order(&account(&server), &server.url("order")).await;
        assert!(matches!(&said, Err(CaError::Malformed(what)) if what.contains(told)), "{path}: {said:?}");
    }
    let server = Server::start().await;
    server.answer("/directory", "404 Not Found", "", "");
    let said = client(&server).date().await;
    assert!(matches!(&said, Err(CaError::Malformed(what)) if what.contains("check `directory`")), "{said:?}");
}

#[tokio::test]
async fn a_ca_that_is_silent_is_given_up_after_half_a_minute() {
    let server = Server::start().await;
    let client = client(&server);
    client.date().await.expect("a connection is there");
    server.stay_silent();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let said = client.date().await;
    assert!(matches!(&said, Err(CaError::Unreachable(why)) if why.contains("within 30 s")), "{said:?}");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn an_unused_connection_is_closed() {
    let server = Server::start().await;
    let client = client(&server);
    client.date().await.expect("a connection is there");
    assert_eq!(server.connections(), 1);
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    certfleet_testkit::eventually("the connection is closed", LIMIT, async || (server.connections() == 0).then_some(())).await;
    assert!((29..=61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    tokio::time::resume();
    client.date().await.expect("and made again");
}

#[tokio::test]
async fn the_directory_is_read_once_and_nonces_are_used_up() {
    let server = Server::start().await;
    server.answer("/order", "200 OK", "Replay-Nonce: next\r\n", r#"{"status":"ready","authorizations":[],"finalize":"f"}"#);
    let (client, account) = (client(&server), account(&server));
    for _ in 0..3 {
        client.order(&account, &server.url("order")).await.expect("order");
    }
    assert_eq!(server.requests(), ["GET /directory", "HEAD /new-nonce", "POST /order", "POST /order", "POST /order"]);
    assert!(server.agents().iter().all(|agent| *agent == concat!("certfleet/", env!("CARGO_PKG_VERSION"))), "{:?}", server.agents());
}

#[tokio::test]
async fn a_challenge_is_told_ready_in_one_request() {
    let server = Server::start().await;
    let failed = r#"{"type":"http-01","url":"u","token":"t","status":"invalid","error":{"type":"x","detail":"failed before"}}"#;
    server.answer("/challenge", "200 OK", "", failed);
    client(&server).challenge_ready(&account(&server), &server.url("challenge")).await.expect("the order has the news");
    assert_eq!(server.requests(), ["GET /directory", "HEAD /new-nonce", "POST /challenge"]);
}

#[tokio::test]
async fn a_challenge_that_could_not_be_told_is_an_error() {
    let server = Server::start().await;
    let (client, account) = (client(&server), account(&server));
    client.date().await.expect("the directory is known");
    server.answer("/challenge", "500 Internal Server Error", "", "");
    let broken = client.challenge_ready(&account, &server.url("challenge")).await;
    assert!(matches!(broken, Err(CaError::Busy { .. })), "{broken:?}");
    server.stop();
    let gone = client.challenge_ready(&account, &server.url("challenge")).await;
    assert!(matches!(gone, Err(CaError::Unreachable(_))), "{gone:?}");
}

/// A CA that knows no account by the new key, and answers keyChange like this; gives what the client makes of it.
async fn roll(server: &Server, status: &str, headers: &str, body: &str) -> Result<(), CaError> {
    server.answer("/new-account", "400 Bad Request", "", r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#);
    server.answer("/key-change", status, headers, body);
    client(server).roll_key(&account(server), &AccountKey::generate().expect("key")).await
}

#[tokio::test]
async fn a_key_change_says_why_it_failed() {
    let server = Server::start().await;
    let body = r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"key in use"}"#;
    let said = roll(&server, "409 Conflict", "Location: http://ca.example/account/2\r\n", body).await;
    let told = "key in use; the new key is that of account http://ca.example/account/2 already: draw another";
    assert_eq!(said, Err(CaError::Refused(Problem::new("malformed", told, Some(409)))));
    let said = roll(&server, "429 Too Many Requests", "Retry-After: 60\r\n", "").await;
    assert!(matches!(&said, Err(CaError::Busy { retry_after: Some(wait), .. }) if wait.as_secs() == 60), "{said:?}");
    let said = roll(&server, "404 Not Found", "", "").await;
    assert!(matches!(&said, Err(CaError::NotFound(_))), "{said:?}");
    assert_eq!(roll(&server, "200 OK", "", "{}").await, Ok(()));
}

#[tokio::test]
async fn a_key_change_is_sent_again_with_fresh_nonces_up_to_a_bound() {
    let server = Server::start().await;
    let bad_nonce = r#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"again"}"#;
    let said = roll(&server, "400 Bad Request", "Replay-Nonce: fresh\r\n", bad_nonce).await;
    assert_eq!(said, Err(CaError::Refused(Problem::new("badNonce", "again", Some(400)))));
    let count = |what: &str| server.requests().iter().filter(|request| *request == what).count();
    assert_eq!(count("POST /key-change"), 24);
    let asked_for = count("HEAD /new-nonce");
    assert!(asked_for <= 3, "the rejections bring the nonces, yet {asked_for} were asked for");
}

#[tokio::test]
async fn a_key_that_the_account_has_is_not_changed_again() {
    let server = Server::start().await;
    let account = account(&server);
    server.answer("/new-account", "200 OK", &format!("Location: {}\r\n", account.url), r#"{"status":"valid"}"#);
    client(&server).roll_key(&account, &AccountKey::generate().expect("key")).await.expect("it is changed already");
    assert_eq!(server.requests(), ["GET /directory", "HEAD /new-nonce", "POST /new-account"]);
}

#[tokio::test]
async fn a_ca_without_key_change_is_named() {
    let server = Server::start().await;
    let [nonce, account, order] = ["new-nonce", "new-account", "new-order"].map(|path| server.url(path));
    let directory = format!(r#"{{"newNonce":"{nonce}","newAccount":"{account}","newOrder":"{order}"}}"#);
    server.answer("/directory", "200 OK", "", &directory);
    let said = roll(&server, "200 OK", "", "{}").await;
    assert!(matches!(&said, Err(CaError::Malformed(what)) if what.contains("no `keyChange`")), "{said:?}");
}

#[test]
fn only_safe_directories_and_real_roots_are_taken() {
    for good in ["https://ca.example/dir", "http://127.0.0.1:14000/dir", "http://localhost/dir", "http://[::1]:80/dir"] {
        assert!(Client::new(good, None).is_ok(), "{good}");
    }
    for bad in
        ["", "ca.example", "/dir", "http://ca.example/dir", "http://10.0.0.1/dir", "ftp://127.0.0.1/dir", "http://127.0.0.1.example/dir"]
    {
        assert!(matches!(Client::new(bad, None), Err(CaError::Malformed(_))), "{bad}");
    }
    for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let said = Client::new("https://ca.example/dir", Some(bad));
        assert!(matches!(&said, Err(CaError::Malformed(what)) if what.contains("`root`")), "{bad:?}: {said:?}");
    }
}
