//! `node`: who is in, and what removing does and says.

use std::fs;

use std::collections::BTreeSet;
use std::path::Path;

use certfleet_core::records::Failures;
use certfleet_node::fleet_key;
use serde_json::{Value, json};

use crate::account::with_key;
use crate::planted::{attempt, plant, planted, tomorrow};
use crate::site::{Machine, Site};

const ALL: &str = "issue,answer,deploy";
const PAGE: &str = include_str!("../../../../docs/commands.md");

/// A fleet of lb0 and web-1, which has `roles`; nobody running. There is an account key if lb0 came to that.
async fn pair(site: &Site, roles: &str) -> (Machine, Machine) {
    let (lb0, web) = (site.first("lb0"), site.machine("web-1"));
    let mut daemon = lb0.daemon();
    web.join(&lb0.token(&["web-1", "--roles", roles])).await;
    daemon.stop();
    (lb0, web)
}

fn fleet_key_of(machine: &Machine) -> String {
    fleet_key::path(&machine.state).display().to_string()
}

/// Every file under `dir`; each write to the store makes another.
fn files(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path.display().to_string()]) }).collect()
}

#[tokio::test]
async fn the_table_shows_members_those_who_ask_and_removed_ones() {
    let site = Site::new();
    let (lb0, _) = pair(&site, ALL).await;
    lb0.run(&["node", "remove", "web-1"]).ended(0);
    site.machine("web-2").run(&["join", &lb0.token(&["web-*", "--roles", "deploy"]), "--node", "web-2"]).ended(0);
    let text = lb0.run(&["node", "ls"]).ended(0).stdout;
    // What is drawn or told by a clock is left out, and so are the widths that follow from it.
    let rows = lb0.json(&["node", "ls", "--json"])["nodes"].take();
    let drawn = |text: String, row: &Value| text.replace(row["fingerprint"].as_str().expect("text"), "<fingerprint>");
    let text = rows.as_array().expect("a list").iter().fold(text, drawn);
    let word = |word: &str| match word.starts_with("20") && word.ends_with('Z') {
        true => "<moment>".to_owned(),
        false => word.replace(env!("CARGO_PKG_VERSION"), "<version>"),
    };
    let line = |line: &str| {
        let line = line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
        line.split_once("<moment> ")
            .filter(|(_, seen)| seen.contains("ago"))
            .map(|(before, _)| format!("{before}<moment> <ago> <version>"))
            .unwrap_or(line)
    };
    insta::assert_snapshot!("nodes", text.lines().map(line).collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn the_json_has_exactly_the_documented_fields() {
    let site = Site::new();
    let (lb0, _) = pair(&site, ALL).await;
    let document = lb0.json(&["node", "ls", "--json"]);
    let fields = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&document), ["fleet", "nodes", "schema"]);
    assert_eq!(fields(&document["fleet"]), ["epoch", "id", "name"]);
    assert_eq!((&document["schema"], &document["fleet"]["epoch"]), (&json!(1), &json!(0)));
    let wanted = ["fingerprint", "granted", "joined_at", "name", "roles", "seen_at", "state", "version"];
    let section = PAGE.split("\n## ").find(|section| section.starts_with("`node`")).expect("a section");
    for row in document["nodes"].as_array().expect("a list") {
        assert_eq!(fields(row), wanted);
    }
    let words = wanted.iter().chain(["member", "joining", "removed", "compromised"].iter());
    let missing: Vec<_> = words.filter(|word| !section.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/commands.md does not have {missing:?}");
    let (lb0, web) = (&document["nodes"][0], &document["nodes"][1]);
    assert_eq!((&lb0["roles"], &lb0["version"]), (&json!(["issue", "answer", "deploy"]), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!((&web["roles"], &web["version"], &web["seen_at"]), (&Value::Null, &Value::Null, &Value::Null), "it never ran");
}

#[tokio::test]
async fn removing_a_member_ends_its_rights_and_says_what_is_left_to_do() {
    let site = Site::new();
    let (lb0, web) = pair(&site, "answer,deploy").await;
    let said = lb0.run(&["node", "remove", "web-1"]).ended(0).stderr;
    assert!(said.starts_with("removed node web-1 from fleet prod: no node believes it any more\n"), "{said}");
    for words in [
        "stay in use until they are renewed; if somebody else may have it: `certfleet node remove web-1 --compromised`",
        "take away its access to the store (file://",
        "stop certfleet on web-1",
        "`certfleet check --node web-1 --print`",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert_eq!(lb0.row("web-1").expect("it is listed")["state"], "removed");
    web.run(&["renew", "example.com"]).refused("node web-1 was removed from the fleet", "certfleet node ls");
    let token = lb0.token(&["web-1", "--replace"]);
    web.run(&["join", &token]).refused("this machine, node web-1, was removed from fleet prod", "identity.json");

    let before = files(&site.path("store"));
    assert_eq!(lb0.run(&["node", "remove", "web-1"]).ended(0).stderr, "node web-1 of fleet prod is removed already; nothing changed\n");
    assert_eq!(files(&site.path("store")), before);
    let worse = lb0.run(&["node", "remove", "web-1", "--compromised"]).ended(0).stderr;
    assert!(worse.starts_with("removed node web-1") && worse.contains("the fleet key was on web-1"), "{worse}");
    assert_eq!(lb0.row("web-1").expect("it is listed")["state"], "compromised");
    let again = lb0.run(&["node", "remove", "web-1", "--compromised"]).ended(0).stderr;
    assert_eq!(again, "node web-1 of fleet prod is removed as compromised already; nothing changed\n");
    assert!(lb0.run(&["node", "remove", "web-1"]).ended(0).stderr.contains("nothing changed"), "it does not become harmless again");
    assert_eq!(lb0.row("web-1").expect("it is listed")["state"], "compromised");
    let kept = fs::read_to_string(lb0.state.join("records/fleet.json")).expect("this machine remembers it whatever becomes of the store");
    assert!(kept.contains("\"compromised\": true"), "{kept}");
}

#[tokio::test]
async fn a_removed_name_can_be_given_to_another_machine() {
    let site = Site::new();
    let (lb0, _) = pair(&site, ALL).await;
    let before = lb0.row("web-1").expect("it is in");
    lb0.run(&["node", "remove", "web-1"]).ended(0);
    let heir = Machine { state: site.path("heir.state"), ..site.machine("web-1") };
    let text = std::fs::read_to_string(&heir.config).expect("reads").replace("web-1.state", "heir.state");
    std::fs::write(&heir.config, text).expect("writes");
    let _daemon = lb0.daemon();
    heir.join(&lb0.token(&["web-1"])).await;
    let after = lb0.row("web-1").expect("it is in");
    assert_eq!(after["state"], "member");
    assert_ne!(after["fingerprint"], before["fingerprint"]);
}

#[tokio::test]
async fn a_machine_that_asks_is_turned_away() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let (web, other) = (site.machine("web-1"), site.machine("web-2"));
    let token = lb0.token(&["web-*", "--uses", "2"]);
    web.run(&["join", &token]).ended(0);
    let said = lb0.run(&["node", "remove", "web-1"]).ended(0).stderr;
    assert!(said.contains("web-1 asked to join fleet prod, and is turned away") && said.contains("a token that is not used up"), "{said}");
    assert!(lb0.row("web-1").is_none());
    let _daemon = lb0.daemon();
    other.join(&token).await;
    assert!(lb0.row("web-1").is_none(), "whoever asked later is in, and it is not");
}

#[tokio::test]
async fn what_cannot_be_removed_is_refused_with_the_reason() {
    let site = Site::new();
    let (lb0, web) = pair(&site, ALL).await;
    let third = site.machine("db-1");
    let mut daemon = lb0.daemon();
    third.join(&lb0.token(&["db-1", "--roles", "deploy"])).await;
    daemon.stop();
    let foreign = site.machine_with("x0", &site.path("other"), "");
    foreign.run(&["init"]).ended(0);
    let before = files(&site.path("store"));
    let key = fleet_key_of(&lb0);

    lb0.run(&["node", "remove", "lb0"]).refused("this machine is lb0", "from another node");
    lb0.run(&["node", "remove", "wep-1"]).refused("the fleet has no node wep-1", "did you mean web-1?");
    web.run(&["node", "remove", "db-1"]).refused("this needs the fleet key", "--fleet-key FILE");
    lb0.run(&["node", "remove", "web-1", "--fleet-key", &fleet_key_of(&foreign)]).refused("another fleet's key", "--fleet-key FILE");
    assert_eq!(files(&site.path("store")), before, "nothing was written");

    // Rebuilt, it waits for lb0: nobody else may let it in.
    let token = lb0.token(&["web-1", "--replace", "--roles", "issue,answer,deploy"]);
    fs::remove_dir_all(&web.state).expect("was there");
    web.run(&["join", &token]).ended(0);
    third.run(&["node", "remove", "lb0", "--fleet-key", &key]).refused("lb0 is the last node that can let web-1 in", "then remove it");
    lb0.run(&["node", "remove", "web-1"]).ended(0);
    third.run(&["node", "remove", "lb0", "--fleet-key", &key]).refused("lb0 is the last node with the role issue", "certfleet invite");
    assert_eq!(lb0.row("lb0").expect("it is listed")["state"], "member");
}

#[tokio::test]
async fn those_whom_a_removed_node_let_in_stay_in() {
    let site = Site::new();
    let (lb0, web) = pair(&site, ALL).await;
    let late = site.machine("db-1");
    let token = lb0.token(&["db-1"]);
    let mut daemon = web.daemon();
    late.join(&token).await;
    daemon.stop();
    let foreign = site.machine_with("x0", &site.path("other"), "");
    foreign.run(&["init"]).ended(0);
    let before = files(&site.path("store"));
    lb0.run(&["node", "remove", "web-1", "--fleet-key", &fleet_key_of(&foreign)]).refused("another fleet's key", "--fleet-key FILE");
    assert_eq!(files(&site.path("store")), before, "nobody is vouched for with a wrong key");

    lb0.run(&["node", "remove", "web-1"]).ended(0);
    for machine in [&lb0, &late] {
        let states = ["lb0", "web-1", "db-1"].map(|node| machine.row(node).expect("it is listed")["state"].clone());
        assert_eq!(states, ["member", "removed", "member"], "as {} sees it", machine.name);
    }
    assert!(late.run(&["join", &token]).ended(0).stderr.contains("this machine is node db-1"));
    // Not only by what a cache remembers.
    let fresh = site.machine("fresh");
    fresh.run(&["join", &lb0.token(&["fresh"])]).ended(0);
    assert_eq!(fresh.row("db-1").expect("it is listed")["state"], "member");
}

#[tokio::test]
async fn compromised_shows_what_is_made_anew_and_when() {
    let site = Site::new();
    let names = ["late", "busy", "fresh", "gone"].map(|name| format!("[[certificate]]\nnames = [\"{name}.example.com\"]\n"));
    let elsewhere = "[[certificate]]\nnames = [\"elsewhere.example.com\"]\nnodes = [\"lb*\"]\n";
    let lb0 = site.machine_with("lb0", &site.path("store"), &format!("{}{elsewhere}", names.concat()));
    lb0.run(&["init"]).ended(0);
    // Before a daemon makes one.
    if !with_key(&lb0) {
        return;
    }
    let (web, answerer) = (site.machine("web-1"), site.machine("dmz-1"));
    let mut daemon = lb0.daemon();
    web.join(&lb0.token(&["web-1"])).await;
    answerer.join(&lb0.token(&["dmz-1", "--roles", "answer"])).await;
    daemon.stop();

    plant(&lb0, "example.com", |_| {}).await;
    plant(&lb0, "late.example.com", |record| record.failures = Failures { count: 3, problem: None, not_before: Some(tomorrow()) }).await;
    plant(&lb0, "busy.example.com", |record| record.attempt = Some(attempt(record, 0))).await;
    plant(&lb0, "gone.example.com", |record| record.retired = true).await;
    plant(&lb0, "elsewhere.example.com", |_| {}).await;
    plant(&lb0, "fresh.example.com", |record| record.placed.as_mut().expect("placed").after_removals = 2).await;

    // It could read nothing, and it has the first place in the list.
    let harmless = lb0.run(&["node", "remove", "dmz-1", "--compromised"]).ended(0).stderr;
    assert!(!harmless.contains("is issued anew") && !harmless.contains("the account key is rolled over"), "{harmless}");
    let said = lb0.run(&["node", "remove", "web-1", "--compromised"]).ended(0).stderr;
    let until = planted(&lb0, "late.example.com").await.failures.not_before.expect("it is put off");
    let anew = "is issued anew with a fresh key:";
    for line in [
        format!("example.com {anew} at once\n"),
        format!("late.example.com {anew} not before {until:.0}, since failed attempts or the CA's limits put it off\n"),
        format!("busy.example.com {anew} as soon as the attempt that runs has ended\n"),
        "the old certificates are not revoked\n".to_owned(),
        "if the fleet key was on web-1, ".to_owned(),
    ] {
        assert!(said.contains(&line), "{line:?} is not in {said}");
    }
    for other in ["gone.example.com", "elsewhere.example.com", "fresh.example.com"] {
        assert!(!said.contains(other), "{said}");
    }
    assert!(said.contains("the account key is rolled over"), "{said}");
    let again = lb0.run(&["node", "remove", "web-1", "--compromised"]).ended(0).stderr;
    assert!(again.contains("nothing changed") && again.contains(&format!("example.com {anew} at once")), "what is not done yet: {again}");
}
