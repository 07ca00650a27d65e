//! `check`: good and bad configurations, their exit codes and how mistakes are shown.

use std::fs;

use crate::site::{Machine, Site};

fn example() -> String {
    format!("{}/../../examples/certfleet.toml", env!("CARGO_MANIFEST_DIR"))
}

/// What `check` says of a configuration, without the directory it is in.
fn shown(site: &Site, machine: &Machine, text: &str) -> String {
    fs::write(&machine.config, text).expect("writes");
    let ran = machine.run(&["check"]).ended(2);
    assert_eq!(ran.stdout, "");
    assert!(!ran.stderr.contains('\x1b') && ran.stderr.is_ascii(), "colours and lines are for terminals: {}", ran.stderr);
    ran.stderr.replace(&format!("{}/", site.path("").display()).replace("//", "/"), "")
}

#[test]
fn the_shipped_example_is_good() {
    let site = Site::new();
    let lb1 = site.machine("lb1");
    let ran = lb1.run(&["check", "-c", &example()]).ended(0);
    assert!(ran.stderr.contains("is good: 2 certificate(s)") && ran.stdout.is_empty(), "{ran:#?}");
}

/// Every node of the example with a central node makes of it what its README says.
#[test]
fn the_example_with_a_central_node_is_good() {
    let site = Site::new();
    let central = site.machine("central");
    let example = format!("{}/../../examples/central/certfleet.toml", env!("CARGO_MANIFEST_DIR"));
    let printed = |node: &str| central.run(&["check", "-c", &example, "--node", node, "--print"]).ended(0).stdout;
    let (of_central, of_worker) = (printed("central"), printed("web-1"));
    assert!(
        of_central.contains("serve = \"[::]:7443\"") && of_central.contains("store = \"file:///var/lib/certfleet/store\""),
        "{of_central}"
    );
    assert!(of_central.contains("certificates placed on this node: 0 of 2"), "{of_central}");
    assert!(!of_worker.contains("serve") && of_worker.contains("certificates placed on this node: 2 of 2"), "{of_worker}");
    assert!(printed("web-3").contains("certificates placed on this node: 1 of 2"));
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let site = Site::new();
    let lb1 = site.machine("lb1");
    let printed = lb1.run(&["check", "-c", &example(), "--node", "web-9", "--print"]).ended(0).stdout;
    assert!(printed.contains("unix:/run/certfleet/http.sock"), "the overlay of web-* is in it: {printed}");
    let file = site.path("printed.toml");
    fs::write(&file, &printed).expect("writes");
    let again = lb1.run(&["check", "-c", &file.display().to_string(), "--node", "web-9", "--print"]).ended(0).stdout;
    // The hash is over the tables as written, and these have their defaults written out.
    let rest = |text: &str| text.lines().filter(|line| !line.starts_with("# fleet-wide part")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&again), rest(&printed));
}

#[test]
fn mistakes_are_marked_where_they_stand() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    let good = fs::read_to_string(&lb0.config).expect("reads").replace(&site.path("").display().to_string(), "/srv/");
    let mistakes = [
        ("an unknown key", good.replace("agree_tos", "agree_tso")),
        ("not TOML", good.replace("[issuer.ca]", "[issuer.ca")),
        ("a store of a later version", good.replace("file:///srv/store", "valkey://central:7443")),
        ("a bad name", good.replace("www.example.com", "www example.com")),
    ];
    let all: String = mistakes.iter().map(|(what, text)| format!("--- {what}\n{}\n", shown(&site, &lb0, text))).collect();
    insta::assert_snapshot!("mistakes", all);
}

#[test]
fn a_mistake_in_another_nodes_overlay_is_found() {
    let site = Site::new();
    let overlays = "[node.\"web-*\"]\nroles = [\"deploy\"]\n[node.\"*-9\"]\nroles = [\"answer\"]\n[node.web-9]\nlog.level = \"debug\"\n";
    let lb0 = site.machine_with("lb0", &site.path("store"), &overlays.replace("log.level = \"debug\"", "answer = { redirect = false }"));
    let ran = lb0.run(&["check"]).ended(2);
    assert!(ran.stderr.contains("web-*") && ran.stderr.contains("*-9"), "two patterns set one key for web-9: {ran:#?}");
}

#[test]
fn a_configuration_that_is_not_there_is_wrong_configuration() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    for words in
        [["check", "-c", "/nonexistent/x.toml"].as_slice(), &["status", "-c", "/nonexistent/x.toml"], &["-c", "/nonexistent/x.toml", "run"]]
    {
        let ran = lb0.run(words).ended(2);
        assert!(ran.stderr.starts_with("certfleet: ") && ran.stderr.contains("/nonexistent/x.toml"), "{ran:#?}");
    }
}

#[test]
fn a_joined_machine_looks_up_its_own_users_and_files() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let good = fs::read_to_string(&lb0.config).expect("reads");
    let deploy =
        "deploy = [\"web\"]\n[deploy.web]\nkind = \"files\"\ndir = \"/srv/{name}\"\nverify = \"off\"\nowner = \"nobody-of-this-name\"\n";
    fs::write(&lb0.config, format!("{good}{deploy}")).expect("writes");
    let ran = lb0.run(&["check"]).ended(2);
    assert!(ran.stderr.contains("nobody-of-this-name") && ran.stderr.contains("[deploy.web]"), "{ran:#?}");
    lb0.run(&["check", "--node", "other"]).ended(0);
    fs::write(&lb0.config, good.replace("agree_tos", "root = \"/nonexistent/root.pem\"\nagree_tos")).expect("writes");
    let ran = lb0.run(&["check"]).ended(2);
    assert!(ran.stderr.contains("/nonexistent/root.pem") && ran.stderr.contains("[issuer.ca]"), "{ran:#?}");
}
