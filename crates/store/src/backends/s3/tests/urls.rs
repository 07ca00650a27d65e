//! What is taken, what is refused, and that nothing secret is shown.

use std::time::Duration;

use super::super::credentials::{Login, Place};
use super::super::url::{Endpoint, S3Url};
use crate::error::OpenError;

fn parsed(rest: &str) -> S3Url {
    S3Url::parse(rest).expect(rest)
}

#[test]
fn the_parts_are_read() {
    let aws = parsed("//fleets-1?region=eu-central-1");
    assert_eq!((aws.bucket.as_str(), aws.prefix.as_str(), aws.region.as_deref()), ("fleets-1", "certfleet", Some("eu-central-1")));
    assert_eq!((aws.endpoint.as_ref(), aws.is_virtual_hosted, aws.login.as_ref(), aws.poll), (None, true, None, Duration::from_secs(30)));
    assert_eq!(aws.to_string(), "s3://fleets-1/certfleet");
    assert!(!parsed("//fleets.example.com/x").is_virtual_hosted, "no certificate fits");
    let own = parsed("//fleets/a/b_1/?endpoint=https%3A%2F%2FS3.example.com:9000/&user=id%2B&password_file=/s&ca=/ca.pem&poll=5");
    assert_eq!(own.endpoint, Some(Endpoint { is_tls: true, host: "s3.example.com:9000".into() }));
    assert_eq!(own.login, Some(Login { user: "id+".into(), secret: Place::File("/s".into()) }));
    assert_eq!(
        (own.prefix.as_str(), own.ca, own.poll, own.is_virtual_hosted),
        ("a/b_1", Some("/ca.pem".into()), Duration::from_secs(5), false)
    );
    assert!(parsed("//fleets/x?endpoint=https://s3.example.com&style=virtual").is_virtual_hosted);
    for (option, place) in [("env=S3_SECRET", Place::Env("S3_SECRET".into())), ("credential=s3", Place::Credential("s3".into()))] {
        assert_eq!(parsed(&format!("//fleets?user=id&password_{option}")).login.map(|login| login.secret), Some(place));
    }
    for loopback in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost"] {
        assert!(!parsed(&format!("//fleets?endpoint={loopback}")).endpoint.expect("given").is_tls);
    }
    assert!(parsed("//fleets?endpoint=http://minio:9000&tls=off").endpoint.is_some());
}

#[test]
fn mistakes_are_named_and_secrets_are_not() {
    let cases = [
        ("/fleets", "write s3://bucket"),
        ("//", "a bucket's name"),
        ("//ab", "a bucket's name"),
        ("//Fleets", "a bucket's name"),
        ("//-fleets", "a bucket's name"),
        ("//id:hunter2@fleets", "`password_file=`"),
        ("//fleets#x", "%23"),
        ("//fleets/a//b", "single slashes"),
        ("//fleets/a%20b", "single slashes"),
        ("//fleets/..", "single slashes"),
        ("//fleets?endpoint=minio:9000", "`endpoint` is where"),
        ("//fleets?endpoint=ftp://minio", "`endpoint` is where"),
        ("//fleets?endpoint=https://minio:0", "`endpoint` is where"),
        ("//fleets?endpoint=https://minio:port", "`endpoint` is where"),
        ("//fleets?endpoint=https://id:hunter2@minio", "`endpoint` is where"),
        ("//fleets?endpoint=https://minio/path", "`endpoint` is where"),
        ("//fleets?endpoint=http://minio:9000", "add `tls=off`"),
        ("//fleets?endpoint=http://10.0.0.1", "add `tls=off`"),
        ("//fleets?tls=off", "goes with"),
        ("//fleets?endpoint=https://minio&tls=off", "goes with"),
        ("//fleets?tls=maybe", "`on` or `off`"),
        ("//fleets?style=dns", "`style` is"),
        ("//fleets?region=eu%20central", "`region` is"),
        ("//fleets?user=id", "no secret"),
        ("//fleets?password_file=/s", "no user"),
        ("//fleets?user=id&password_file=s", "`password_file` must be an absolute path"),
        ("//fleets?user=id&password_credential=../s", "name of a credential"),
        ("//fleets?user=id&password_file=/s&password_env=S", "`password_env` is given twice"),
        ("//fleets?user=id&password=hunter2", "write `password_file=/path`"),
        ("//fleets?pasword=hunter2", "unknown option `pasword`; `region`"),
        ("//fleets?ca=", "`ca` has no value"),
        ("//fleets?ca=ca.pem", "`ca` must be an absolute path"),
        ("//fleets?region=a&region=b", "given twice"),
        ("//fleets?poll=0", "1 to 300"),
        ("//fleets?poll=301", "1 to 300"),
        ("//fleets?poll=often", "number of seconds"),
    ];
    for (rest, told) in cases {
        let why = S3Url::parse(rest).expect_err(rest);
        assert!(why.contains(told) && !why.contains("hunter2"), "{rest}: {why}");
        let Err(OpenError::BadUrl { url, .. }) = crate::check_url(&format!("s3:{rest}")) else { panic!("{rest}") };
        assert!(!url.contains("hunter2"), "{url}");
    }
}
