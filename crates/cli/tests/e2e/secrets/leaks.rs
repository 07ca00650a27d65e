//! Every secret of a fleet is where it belongs and nowhere else: no file, no answer and no output of a command has a piece of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::needles::Needles;
use super::{NAME, add_key, field, identity, live_key};
use crate::fleet::{Certificate, Config, Fleet, Lab, audit};

/// With a key for each node.
const OWN: &str = "own.example.com";
/// With an RSA key that is kept.
const RSA: &str = "rsa.example.com";
const NODES: u8 = 2;

/// A fleet that says all it has to say, with every kind of secret.
async fn fleet() -> Option<Fleet> {
    let lab = Lab::new(NODES, |_| {}).await?;
    let mut config = Config::plain(NAME);
    config.log = "format = \"json\"\nlevel = \"trace\"\n";
    config.certificates.push(Certificate { lines: "key = { policy = \"per-node\" }".into(), ..Certificate::plain(OWN) });
    config.certificates.push(Certificate { lines: "key = { type = \"rsa2048\", reuse = true }".into(), ..Certificate::plain(RSA) });
    let mut fleet = Fleet::with(lab, config, NODES).await;
    fleet.start_all();
    has_everything(&fleet, 1).await;
    Some(fleet)
}

async fn has_everything(fleet: &Fleet, generation: u64) {
    for cert in [NAME, RSA] {
        fleet.all_have_of(cert, generation).await;
    }
    for n in fleet.numbers() {
        let own = own(n);
        fleet.until("its own certificate", || fleet.has(n, &own, generation)).await;
    }
}

fn own(n: u8) -> String {
    format!("{OWN}@n{n}")
}

/// The secrets of one generation, under names that say where they may stand.
async fn collect(fleet: &Fleet, needles: &mut Needles) {
    for n in fleet.numbers() {
        let identity = identity(fleet, n);
        for key in ["signing_key", "sealing_key"] {
            add_key(needles, &format!("n{n}/state/identity.json"), field(&identity, key));
        }
        for cert in [NAME, RSA, &own(n)] {
            needles.pem(&format!("live/{cert}"), &live_key(fleet, n, cert));
        }
    }
    let text = fs::read_to_string(fleet.dir(1).join("state/fleet.key")).expect("the fleet key can be read");
    let digits = text.trim().rsplit(':').next().expect("digits")[..64].to_owned();
    let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex"));
    needles.bytes("n1/state/fleet.key", &bytes.collect::<Vec<u8>>());
    needles.text("n1/state/fleet.key", &digits);
    let token = certfleet_core::encoding::from_base64url(&token(fleet)[4..]).expect("base64url");
    add_key(needles, "tokens/n2.token", field(&serde_json::from_slice(&token).expect("JSON"), "join_key"));
    needles.pem("the account key", &fleet.certfleet_quietly(1, &["account", "export"]).await.worked());
}

fn token(fleet: &Fleet) -> String {
    let path = fleet.lab.dir.path().join("tokens/n2.token");
    fs::read_to_string(path).expect("the token can be read").trim().to_owned()
}

/// Whether the secret of this name may stand in this file of the laboratory.
fn belongs(name: &str, file: &str) -> bool {
    match name.strip_prefix("live/") {
        Some(cert) => file.contains(&format!("/live/{cert}/")),
        None => file == name,
    }
}

/// No file has a secret that does not belong there; what does belong somewhere is found there, so the search is one.
fn nothing_lies_about(fleet: &Fleet, needles: &Needles) {
    let lab = fleet.lab.dir.path();
    let mut found = BTreeSet::new();
    for path in audit::files(lab) {
        let file = path.strip_prefix(lab).expect("it is below").display().to_string();
        for name in needles.found_in(&fs::read(&path).unwrap_or_default()) {
            assert!(belongs(&name, &file), "{file} has the secret of {name}");
            found.insert(name);
        }
    }
    let wanted: BTreeSet<String> = needles.names().iter().filter(|name| *name != "the account key").cloned().collect();
    assert_eq!(found, wanted);
}

/// Commands that work.
const GOOD: [&[&str]; 15] = [
    &["status"],
    &["status", "--json"],
    &["history", NAME],
    &["node", "ls"],
    &["node", "ls", "--json"],
    &["account", "show"],
    &["account", "show", "--json"],
    &["check"],
    &["check", "--node", "n2", "--print"],
    &["store", "check"],
    &["store", "check", "--json"],
    &["store", "backup", "-"],
    &["snippet", "nginx"],
    &["completions", "bash"],
    &["help"],
];

/// What a command said that must end so. The fleet's own audit would take sealed keys for a leak, which a backup has.
async fn said(fleet: &Fleet, n: u8, words: &[&str], works: bool) -> Vec<u8> {
    let output = fleet.certfleet_quietly(n, words).await;
    assert_eq!(output.code == Some(0), works, "{words:?}: {}{}", output.stdout, output.stderr);
    format!("{}{}", output.stdout, output.stderr).into_bytes()
}

async fn good_commands_say_nothing(fleet: &Fleet, needles: &Needles) {
    for (n, words) in fleet.numbers().flat_map(|n| GOOD.map(|words| (n, words))) {
        let found = needles.found_in(&said(fleet, n, words, true).await);
        assert!(found.is_empty(), "{words:?} on node {n} tells {found:?}");
    }
}

/// Every file with a secret given where another one belongs, and tokens that are cut, changed or too many.
async fn wrong_commands_say_nothing(fleet: &Fleet, needles: &Needles) {
    for file in secret_files(fleet) {
        let file = file.display().to_string();
        let files = [
            vec!["join", &file],
            vec!["account", "import", &file],
            vec!["invite", "n9", "--fleet-key", &file],
            vec!["store", "restore", &file, "--replace", "--force"],
            vec!["check", "-c", &file],
            vec!["status", "-c", &file],
        ];
        for words in files {
            let own_place = match words[0] {
                "join" => file.ends_with(".token"),
                "account" => file.ends_with(".pem"),
                "invite" => file.ends_with("fleet.key"),
                _ => false,
            };
            if !own_place {
                are_silent(fleet, needles, &words).await;
            }
        }
    }
    let token = token(fleet);
    let changed = token.replacen(|c| matches!(c, 'a'..='y'), "z", 9);
    for wrong in [&token[1..], &token[4..], &token[..token.len() - 3], &token[40..], &changed] {
        are_silent(fleet, needles, &["join", wrong]).await;
    }
    let words: [&[&str]; 5] =
        [&["join", &token, &token], &[&token], &["invite", &format!("{token}/")], &["node", "remove", &token], &["run", &token]];
    for words in words {
        are_silent(fleet, needles, words).await;
    }
}

async fn are_silent(fleet: &Fleet, needles: &Needles, words: &[&str]) {
    let found = needles.found_in(&said(fleet, 1, words, false).await);
    assert!(found.is_empty(), "{} tells {found:?}", words[0]);
}

fn secret_files(fleet: &Fleet) -> [PathBuf; 5] {
    let lab: &Path = fleet.lab.dir.path();
    [
        lab.join("tokens/n2.token"),
        fleet.dir(1).join("state/identity.json"),
        fleet.dir(1).join("state/fleet.key"),
        fleet.live_dir(1, NAME).join("privkey.pem"),
        fleet.live_dir(1, RSA).join("privkey.pem"),
    ]
}

async fn admin_says_nothing(fleet: &Fleet, needles: &Needles) {
    for (n, path) in fleet.numbers().flat_map(|n| ["/status", "/metrics", "/healthz", "/no-such-page"].map(|path| (n, path))) {
        let answer = fleet.admin(n, path).await.expect("the node answers");
        let said = format!("{:?} {}", answer.headers, answer.body);
        assert!(needles.found_in(said.as_bytes()).is_empty(), "{path} of node {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_no_record_and_no_file_has_a_secret() {
    let Some(fleet) = fleet().await else { return };
    let mut needles = Needles::new();
    collect(&fleet, &mut needles).await;
    for cert in [NAME, RSA, &own(1), &own(2)] {
        fleet.certfleet(1, &["renew", cert]).await.worked();
    }
    has_everything(&fleet, 2).await;
    fleet.certfleet(1, &["account", "rotate", "--wait"]).await.worked();
    collect(&fleet, &mut needles).await;
    let backup = fleet.lab.dir.path().join("backup").display().to_string();
    fleet.certfleet(2, &["store", "backup", &backup]).await.worked();
    admin_says_nothing(&fleet, &needles).await;
    good_commands_say_nothing(&fleet, &needles).await;
    wrong_commands_say_nothing(&fleet, &needles).await;
    nothing_lies_about(&fleet, &needles);
}
