//! One account for the fleet, and one account key for all CAs.

use std::path::{Path, PathBuf};
use std::process::Command;

use certfleet_core::encoding::base64url;
use certfleet_testkit::installed;
use certfleet_testkit::pebble::{Pebble, PebbleOptions};
use serde_json::Value;

use crate::client::get;
use crate::fleet::{Certificate, Config, Fleet, Lab};

const NAME: &str = "account.example.com";
/// A path under which a CA asks (RFC 8555 section 8.3).
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

async fn account(fleet: &Fleet) -> Value {
    let shown = fleet.certfleet(1, &["account", "show", "--json"]).await.worked();
    serde_json::from_str(&shown).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_that_start_at_once_make_one_account() {
    let Some(mut fleet) = Fleet::plain(5, NAME).await else { return };
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
    let made: usize = fleet.numbers().map(|n| fleet.told(n, "account-key-made").len()).sum();
    assert_eq!(made, 1, "one account key");
    assert_eq!(account(&fleet).await["accounts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_issuers_share_one_account_key() {
    let Some(lab) = Lab::new(2, |_| {}).await else { return };
    let other = Pebble::start(PebbleOptions::new(lab.http_port)).await.expect("the first one started");
    other.set_a("second.example.com", &[lab.site.host(1), lab.site.host(2)]).await;
    let mut config = Config::plain(NAME);
    config.certificates[0].lines = "issuer = \"first\"".into();
    config.certificates.push(Certificate { lines: "issuer = \"second\"".into(), ..Certificate::plain("second.example.com") });
    for (name, pebble) in [("first", &lab.pebble), ("second", &other)] {
        config.issuers.insert(name.into(), (pebble.directory_url(), pebble.root_pem_path().display().to_string()));
    }
    let mut fleet = Fleet::with(lab, config, 2).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    fleet.have([1, 2], "second.example.com", 1).await;
    assert_eq!((other.issued().len(), other.accounts_seen(), fleet.lab.pebble.accounts_seen()), (1, 1, 1));
    let shown = account(&fleet).await;
    let thumbprints: Vec<&Value> = shown["accounts"].as_array().expect("a list").iter().map(|account| &account["thumbprint"]).collect();
    assert_eq!(thumbprints, [&shown["key"]["thumbprint"]; 2]);
}

/// Runs openssl; gives stdout.
fn openssl(program: &Path, words: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(words).output().expect("openssl can be run");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A P-256 key as openssl makes it, and its thumbprint (RFC 7638) as openssl's numbers give it.
fn key_of_openssl(program: &Path, dir: &Path, words: &[&str]) -> (PathBuf, String) {
    let path = dir.join("account.pem");
    let file = path.display().to_string();
    openssl(program, &[words, &["-out", &file]].concat());
    let public = openssl(program, &["pkey", "-in", &file, "-pubout", "-outform", "DER"]);
    let point = &public[public.len() - 64..];
    let (x, y) = (base64url(&point[..32]), base64url(&point[32..]));
    let jwk = dir.join("jwk");
    std::fs::write(&jwk, format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)).expect("writes");
    let digest = openssl(program, &["dgst", "-sha256", "-binary", &jwk.display().to_string()]);
    (path, base64url(&digest))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_key_is_the_account_key() {
    let Some(program) = installed("openssl", "openssl") else { return };
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    let words = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let (file, thumbprint) = key_of_openssl(&program, fleet.lab.dir.path(), &words);
    fleet.certfleet(2, &["account", "import", &file.display().to_string()]).await.worked();
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    let shown = account(&fleet).await;
    assert_eq!(
        (shown["key"]["thumbprint"].as_str(), shown["accounts"][0]["thumbprint"].as_str()),
        (Some(&*thumbprint), Some(&*thumbprint))
    );
    for n in [1, 2] {
        let answer = get(fleet.lab.address(n), NAME, CHALLENGE).await.expect("it answers");
        assert!(answer.body.ends_with(&format!(".{thumbprint}")), "{answer:?}");
        assert!(fleet.told(n, "account-key-made").is_empty());
    }
    let exported = fleet.certfleet_quietly(1, &["account", "export"]).await.worked();
    let again = fleet.lab.dir.path().join("exported.pem");
    std::fs::write(&again, exported).expect("writes");
    let public = |path: &Path| openssl(&program, &["pkey", "-in", &path.display().to_string(), "-pubout"]);
    assert_eq!(public(&again), public(&file), "the exported key is the imported one");
}

/// The form that `openssl ecparam` writes (SEC 1) is taken too.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_older_form_is_imported_too() {
    let Some(program) = installed("openssl", "openssl") else { return };
    let Some(fleet) = Fleet::plain(1, NAME).await else { return };
    let (file, thumbprint) = key_of_openssl(&program, fleet.lab.dir.path(), &["ecparam", "-name", "prime256v1", "-genkey", "-noout"]);
    fleet.certfleet(1, &["account", "import", &file.display().to_string()]).await.worked();
    assert_eq!(account(&fleet).await["key"]["thumbprint"].as_str(), Some(&*thumbprint));
}
