//! http-01 from any node, redirects, and a listener whose port somebody else has.

use std::net::TcpListener;

use crate::client::{Answer, get};
use crate::fleet::Fleet;

const NAME: &str = "challenge.example.com";
const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

async fn ask(fleet: &Fleet, n: u8, host: &str, path: &str) -> Answer {
    get(fleet.lab.address(n), host, path).await.expect("node answers")
}

async fn answers(fleet: &Fleet, n: u8, thumbprint: &str) {
    let answer = ask(fleet, n, NAME, &format!("/.well-known/acme-challenge/{TOKEN}")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, format!("{TOKEN}.{thumbprint}").as_str()), "node {n}");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let other = ask(fleet, n, "other.example.com", &format!("/.well-known/acme-challenge/{TOKEN}")).await;
    assert_eq!(other.status, 404, "only managed names");
    let malformed = ask(fleet, n, NAME, "/.well-known/acme-challenge/short").await;
    assert_eq!(malformed.status, 404, "only tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_answers_also_one_that_just_joined() {
    let Some(mut fleet) = Fleet::plain(3, NAME).await else { return };
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    let shown = fleet.certfleet(1, &["account", "show", "--json"]).await.worked();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let thumbprint = shown["key"]["thumbprint"].as_str().expect("a text").to_owned();
    for n in 1..=3 {
        answers(&fleet, n, &thumbprint).await;
    }
    let newcomer = fleet.grow().await;
    fleet.start(newcomer);
    fleet.all_have(NAME, 1, 1).await;
    answers(&fleet, newcomer, &thumbprint).await;
    // It is as good as the others for the CA.
    fleet.lab.pebble.set_a(NAME, &[fleet.lab.site.host(newcomer)]).await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_for_managed_names_are_sent_to_https() {
    let Some(mut fleet) = Fleet::plain(1, NAME).await else { return };
    fleet.start(1);
    fleet.all_have(NAME, 1, 1).await;
    let answer = ask(&fleet, 1, NAME, "/a/b%20c?x=1&y=%2F").await;
    let wanted = format!("https://{NAME}/a/b%20c?x=1&y=%2F");
    assert_eq!((answer.status, answer.header("location")), (308, Some(wanted.as_str())));
    assert_eq!(ask(&fleet, 1, "other.example.com", "/").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_has_is_taken_when_it_is_free() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.lab.resolve(NAME, 1).await;
    let address = fleet.lab.address(2);
    let squatter = TcpListener::bind(address).expect("the port is free");
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    let says_so = |text: &str| text.contains(&address.to_string());
    let health = fleet.admin(2, "/healthz").await.expect("it answers");
    assert!(health.status == 503 && says_so(&health.body), "{health:?}");
    let status = fleet.status(2).await.expect("status");
    assert!(status.troubles.iter().any(|trouble| says_so(trouble)), "{:?}", status.troubles);
    drop(squatter);
    fleet.until("the node is well", || async { fleet.admin(2, "/healthz").await.filter(|health| health.status == 200) }).await;
    assert_eq!(ask(&fleet, 2, NAME, "/").await.status, 308);
    let status = fleet.status(2).await.expect("status");
    assert!(!status.troubles.iter().any(|trouble| says_so(trouble)), "{:?}", status.troubles);
}
