//! Encrypted connections.

use certfleet_store::{ErrorKind, open_or_create};
use certfleet_testkit::postgres::{Postgres, PostgresOptions};

use super::server::{body, create, made, shared};

/// The server is known by its CA and its name; nothing less will do.
#[tokio::test]
async fn servers_are_verified() {
    let settings = vec!["listen_addresses = '127.0.0.1, 127.0.0.2'".into()];
    let options = PostgresOptions { tls: true, hba: vec!["hostnossl all all all reject".into()], settings };
    let Some(server) = Postgres::start(options).await else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (ca, other) = (dir.path().join("ca.pem"), dir.path().join("other.pem"));
    std::fs::write(&ca, server.ca().expect("it offers TLS")).expect("written");
    let foreign = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&other, foreign.cert.pem()).expect("written");
    let url = |host: &str, options: &str| {
        format!("postgres://postgres:{}@{host}:{}/postgres{options}", server.password(), server.address().port())
    };
    for (host, schema) in [("127.0.0.1", "by_address"), ("localhost", "by_name")] {
        let store = made(&url(host, &format!("?ca={}&schema={schema}", ca.display()))).await;
        // SCRAM with channel binding, as the server offers it over TLS.
        let mut watch = store.watch("").await.expect("watched");
        create(&store, "fleet", 1).await;
        assert!(watch.next().await.is_some());
        assert_eq!(body(&store, "fleet").await, 1);
    }
    assert_eq!(server.sql("postgres", "SELECT count(*) > 0 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE application_name = 'certfleet' AND NOT ssl").await, "f");
    for (refused, told) in [
        (url("127.0.0.1", &format!("?ca={}", other.display())), "give the CA"),
        (url("127.0.0.1", ""), "give the CA"),
        (url("127.0.0.2", &format!("?ca={}", ca.display())), "name the server there as the certificate does"),
        (url("127.0.0.1", &format!("?ca={}/none.pem", dir.path().display())), "none.pem"),
        (url("127.0.0.1", "?sslmode=disable"), "pg_hba.conf"),
    ] {
        let error = open_or_create(&refused).await.expect_err("refused").to_string();
        assert!(error.contains(told) && !error.contains(server.password()), "{error}");
    }
}

/// A server without TLS is not talked to in the clear.
#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let Some(server) = shared().await else { return };
    let url = server.url("postgres").replace("?sslmode=disable", "");
    let refused = open_or_create(&url).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(refused.to_string().contains("does not support TLS; set `ssl = on`"), "{refused}");
}

/// A node may come with a certificate instead of a password.
#[tokio::test]
async fn nodes_may_have_certificates() {
    let options = PostgresOptions { tls: true, hba: vec!["hostssl all all 127.0.0.1/32 cert".into()], ..Default::default() };
    let Some(server) = Postgres::start(options).await else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let (cert, key) = server.client_certificate("postgres").expect("it offers TLS");
    for (name, text) in [("ca.pem", server.ca().expect("it offers TLS")), ("cert.pem", cert.as_str()), ("key.pem", key.as_str())] {
        std::fs::write(path(name), text).expect("written");
    }
    let files = format!("?ca={0}/ca.pem&cert={0}/cert.pem&key={0}/key.pem", dir.path().display());
    let store = made(&format!("postgres://postgres@{}/postgres{files}", server.address())).await;
    create(&store, "fleet", 1).await;
}
