//! What is refused at the start, and what is said then.

use std::path::Path;

use certfleet_store::{ErrorKind, OpenError};
use certfleet_testkit::moto::{Moto, Setup};

use super::{BUCKET, prefix, shared, url};

async fn refused(url: &str) -> (ErrorKind, String) {
    let error: OpenError = certfleet_store::open_or_create(url).await.expect_err("refused");
    (error.kind(), error.to_string())
}

/// A key that S3 does not know: what is to be checked is named, and no secret shown.
#[tokio::test]
async fn a_wrong_key_is_named() {
    let Some(server) = Moto::start(&Setup { requests_without_key: Some(1), ..Setup::default() }).await else { return };
    server.make_bucket(BUCKET).await;
    let (kind, text) = refused(&url(server.address(), "fleet")).await;
    assert_eq!(kind, ErrorKind::NeedsOperator);
    assert!(text.contains("InvalidAccessKeyId") && text.contains("`user=`") && text.contains(&server.address().to_string()), "{text}");
    assert!(!text.contains("/usr/bin"), "the secret: {text}");
}

/// A bucket that is not there: how to make it.
#[tokio::test]
async fn a_missing_bucket_is_named() {
    let Some(server) = shared().await else { return };
    let url = url(server.address(), "fleet").replace(BUCKET, "no-such-bucket");
    let (kind, text) = refused(&url).await;
    assert_eq!(kind, ErrorKind::NeedsOperator);
    assert!(text.contains("NoSuchBucket") && text.contains("aws s3api create-bucket --bucket no-such-bucket"), "{text}");
}

/// A store that is not there is not made by `open`.
#[tokio::test]
async fn a_missing_store_is_not_made() {
    let Some(server) = shared().await else { return };
    let error = certfleet_store::open(&url(server.address(), &prefix())).await.expect_err("missing");
    assert!(matches!(&error, OpenError::Missing { .. }) && error.to_string().contains("certfleet init"), "{error}");
}

/// A secret that cannot be read: where it was looked for.
#[tokio::test]
async fn a_missing_secret_is_named() {
    let Some(server) = shared().await else { return };
    let url = url(server.address(), "fleet").replace("password_env=PATH", "password_file=/no/such/file");
    let (kind, text) = refused(&url).await;
    assert!(kind == ErrorKind::NeedsOperator && text.contains("/no/such/file"), "{text}");
}

/// With TLS: by the roots that the URL names, and by no others.
#[tokio::test]
async fn tls_is_checked() {
    let Some(server) = Moto::start(&Setup { tls: true, ..Setup::default() }).await else { return };
    server.make_bucket(BUCKET).await;
    let plain = url(server.address(), "fleet").replace("http://", "https://");
    let (kind, text) = refused(&plain).await;
    assert!(kind == ErrorKind::Retry && text.contains("certificate"), "{text}");
    let trusting = |ca: &Path| format!("{plain}&ca={}", ca.display());
    certfleet_store::open_or_create(&trusting(&server.ca())).await.expect("trusted");
    let by_name = trusting(&server.ca()).replace("127.0.0.1", "localhost");
    certfleet_store::open(&by_name).await.expect("trusted by name");
    for (ca, why) in [(server.file("server.key"), "no certificate"), (server.file("none"), "none")] {
        let (kind, text) = refused(&trusting(&ca)).await;
        assert!(kind == ErrorKind::NeedsOperator && text.contains(why), "{text}");
    }
}

/// Endpoints of the one style and of the other.
#[tokio::test]
async fn both_styles_are_spoken() {
    let Some(server) = shared().await else { return };
    let prefix = prefix();
    let path = url(server.address(), &prefix);
    certfleet_store::open_or_create(&path).await.expect("made");
    certfleet_store::open(&format!("{path}&style=path")).await.expect("opened");
    // `fleets.localhost` is this machine where the resolver holds to RFC 6761, and else none; it is asked either way.
    let virtual_hosted = path.replace("127.0.0.1", "localhost") + "&style=virtual";
    match certfleet_store::open(&virtual_hosted).await {
        Ok(_) => {}
        Err(error) => assert!(error.to_string().contains("dns"), "{error}"),
    }
}
