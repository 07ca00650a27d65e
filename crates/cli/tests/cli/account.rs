//! `account`: a key that openssl made goes in and comes out the same.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use certfleet_testkit::{Process, eventually, installed};

use crate::planted::take_over;
use crate::site::{Machine, Site, mode};

const LIMIT: Duration = Duration::from_secs(20);

fn openssl(words: &[&str]) -> Option<String> {
    let program = installed("openssl", "openssl")?;
    let output = Command::new(program).args(words).output().expect("starts");
    assert!(output.status.success(), "openssl {words:?}: {output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn public_half(path: &Path) -> String {
    openssl(&["pkey", "-in", &path.display().to_string(), "-pubout"]).expect("openssl is there")
}

#[test]
fn a_p256_key_goes_in_and_comes_out() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    assert!(lb0.run(&["account", "show"]).ended(0).stderr.contains("no account key yet"));
    lb0.run(&["account", "export"]).refused("no account key yet", "import");
    let (key, copy) = (site.path("key.pem"), site.path("copy.pem"));
    let (key_text, copy_text) = (key.display().to_string(), copy.display().to_string());
    if openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key_text]).is_none() {
        return;
    }
    assert!(lb0.run(&["account", "import", &key_text]).ended(0).stderr.contains("is the imported one now"));
    assert!(lb0.run(&["account", "import", &key_text]).ended(0).stderr.contains("nothing changed"));
    lb0.run(&["account", "export", "--out", &copy_text]).ended(0);
    assert_eq!(mode(&copy), 0o600);
    assert_eq!(public_half(&copy), public_half(&key));
    assert_eq!(lb0.run(&["account", "export"]).ended(0).stdout, fs::read_to_string(&copy).expect("reads"));
    lb0.run(&["account", "export", "--out", &copy_text]).refused("cannot be written", "does not exist yet");

    let shown: serde_json::Value = serde_json::from_str(&lb0.run(&["account", "show", "--json"]).ended(0).stdout).expect("JSON");
    let thumbprint = shown["key"]["thumbprint"].as_str().expect("a thumbprint");
    assert_eq!((thumbprint.len(), &shown["schema"], &shown["accounts"]), (43, &1.into(), &serde_json::json!([])));
    assert!(lb0.run(&["account", "show"]).ended(0).stdout.contains(thumbprint));
}

#[test]
fn another_key_needs_replace() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let keys: Vec<String> = ["a.pem", "b.pem"].iter().map(|name| site.path(name).display().to_string()).collect();
    for key in &keys {
        if openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key]).is_none() {
            return;
        }
    }
    lb0.run_with(&["account", "import", "-"], &fs::read_to_string(&keys[0]).expect("reads")).ended(0);
    lb0.run(&["account", "import", &keys[1]]).refused("another account key already", "--replace");
    lb0.run(&["account", "import", &keys[1], "--replace"]).ended(0);
    let exported = site.path("exported.pem");
    lb0.run(&["account", "export", "--out", &exported.display().to_string()]).ended(0);
    assert_eq!(public_half(&exported), public_half(Path::new(&keys[1])));
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let path = site.path("key.pem").display().to_string();
    let kinds: [(&[&str], &str); 3] = [
        (&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &path], "RSA"),
        (&["genrsa", "-traditional", "-out", &path, "2048"], "RSA"),
        (&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", &path], "P-384"),
    ];
    for (words, kind) in kinds {
        if openssl(words).is_none() {
            return;
        }
        lb0.run(&["account", "import", &path]).refused(kind, "P-256");
    }
    fs::write(&path, "hello").expect("writes");
    lb0.run(&["account", "import", &path]).refused("no private key", "PEM");
    lb0.run(&["account", "import", "/dev/zero"]).refused("/dev/zero cannot be read", "");
}

/// The fleet has an account key.
pub fn with_key(machine: &Machine) -> bool {
    let pem = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    pem.is_some_and(|pem| machine.run_with(&["account", "import", "-"], &pem).ended(0).code == 0)
}

#[test]
fn rotating_begins_once_and_says_what_follows() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    lb0.run(&["account", "rotate"]).refused("no account key yet", "role `issue`");
    if !with_key(&lb0) {
        return;
    }
    let old = lb0.json(&["account", "show", "--json"])["key"]["thumbprint"].as_str().expect("a thumbprint").to_owned();
    let exported = lb0.run(&["account", "export"]).ended(0).stdout;
    let said = lb0.run(&["account", "rotate"]).ended(0).stderr;
    let shown = lb0.json(&["account", "show", "--json"]);
    let new = shown["next"]["thumbprint"].as_str().expect("a thumbprint");
    assert_eq!(
        (shown["key"]["thumbprint"].as_str(), new.len()),
        (Some(old.as_str()), 43),
        "the old one is in use until the CAs know the new one"
    );
    assert!(said.contains(&format!("{old} is rolled over to {new}")) && said.contains("accounts and their URLs stay"), "{said}");
    assert_eq!(lb0.run(&["account", "export"]).ended(0).stdout, exported);
    assert!(lb0.run(&["account", "show"]).ended(0).stdout.contains(&format!("being rolled over to {new}")));

    let again = lb0.run(&["account", "rotate"]).ended(0).stderr;
    assert!(again.contains(new) && again.contains("nothing changed"), "{again}");
    // No daemon runs here.
    lb0.run(&["account", "rotate", "--wait", "--timeout", "1s"]).refused("not rolled over after 1s", "goes on by itself");
    assert_eq!(lb0.json(&["account", "show", "--json"]), shown);
}

#[tokio::test]
async fn waiting_ends_when_the_new_key_is_the_only_one() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    if !with_key(&lb0) {
        return;
    }
    let mut command = lb0.command();
    command.args(["account", "rotate", "--wait", "--timeout", "60s"]);
    let mut waiting = Process::start("account rotate", &mut command, &site.path("rotate.log")).expect("starts");
    waiting.printed("the new key is not in its place yet", LIMIT).await;
    let next = lb0.json(&["account", "show", "--json"])["next"]["thumbprint"].take();
    take_over(&lb0).await;
    let ended = eventually("the command ends", LIMIT, || std::future::ready(waiting.ended())).await;
    assert!(ended.success(), "{}", waiting.output());
    let shown = lb0.json(&["account", "show", "--json"]);
    assert_eq!((&shown["key"]["thumbprint"], &shown["next"]), (&next, &serde_json::Value::Null));
    assert!(lb0.run(&["account", "rotate"]).ended(0).stderr.contains(" is rolled over to "), "and it can begin anew");
}

#[test]
fn only_a_node_with_the_role_issue_rotates() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let web = site.machine("web-1");
    web.run(&["join", &lb0.token(&["web-1", "--roles", "answer,deploy"])]).ended(0);
    web.run(&["account", "rotate"]).refused("node web-1 waits to be let in", "certfleet node ls");
}
