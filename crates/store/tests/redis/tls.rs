//! TLS, with the server's certificate checked and a client certificate asked for.

use std::net::SocketAddr;
use std::path::Path;

use certfleet_store::{ErrorKind, Expect};
use certfleet_testkit::free_port;
use certfleet_testkit::redis::Redis;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::{done, key, value};

/// A CA, and a certificate for 127.0.0.1 that serves as the client's too.
fn certificates(dir: &Path) {
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "a private CA");
    let ca_key = KeyPair::generate().expect("a key");
    let root = ca.self_signed(&ca_key).expect("signed");
    let leaf_key = KeyPair::generate().expect("a key");
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    leaf.distinguished_name.push(DnType::CommonName, "redis");
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).expect("signed");
    for (name, text) in [("ca.pem", root.pem()), ("leaf.pem", leaf.pem()), ("leaf.key", leaf_key.serialize_pem())] {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

#[tokio::test]
async fn tls_is_checked_on_both_sides() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = dir.path().display();
    certificates(dir.path());
    let tls_port = free_port([127, 0, 0, 1].into());
    let lines = [
        format!("tls-port {tls_port}"),
        format!("tls-cert-file {files}/leaf.pem"),
        format!("tls-key-file {files}/leaf.key"),
        format!("tls-ca-cert-file {files}/ca.pem"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Some(_server) = Redis::start(&lines).await else { return };
    let at = SocketAddr::from(([127, 0, 0, 1], tls_port));
    let url = format!("rediss://{at}?ca={files}/ca.pem&cert={files}/leaf.pem&key={files}/leaf.key");
    let store = certfleet_store::open_or_create(&url).await.expect("made");
    done(&store, &key("certs/a"), &value("x".repeat(100_000)), &Expect::Absent).await;
    for (bad, kind) in [
        (format!("rediss://{at}"), ErrorKind::Retry),
        (format!("rediss://{at}?ca={files}/ca.pem"), ErrorKind::Retry),
        (format!("rediss://localhost:{tls_port}?ca={files}/ca.pem&cert={files}/leaf.pem&key={files}/leaf.key"), ErrorKind::Retry),
        (format!("rediss://{at}?ca={files}/none.pem"), ErrorKind::NeedsOperator),
        (format!("rediss://{at}?ca={files}/ca.pem&cert={files}/leaf.pem&key={files}/ca.pem"), ErrorKind::NeedsOperator),
    ] {
        let error = certfleet_store::open(&bad).await.expect_err(&bad);
        assert_eq!(error.kind(), kind, "{bad}: {error}");
        eprintln!("{error}");
    }
}
