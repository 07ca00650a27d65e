//! What can be seen from outside: metrics, log lines, key files.

use std::collections::BTreeSet;

use certfleet_core::x509::Leaf;
use certfleet_node::status::{CertificateState, Status};
use serde_json::Value;

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "seen.example.com";
/// What a node tells of a first issue when it drives it.
const TOLD_OF_FIRST_ISSUE: [&str; 9] =
    ["started", "listening", "account-key-made", "account-registered", "stand-in", "keyed", "ordered", "finalizing", "placed"];

/// The value of a metric with these labels, in whatever order.
fn metric(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
    page.lines().find(fits)?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_expiry_attempts_latency_and_challenges() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.lab.resolve(NAME, 1).await;
    fleet.start(1);
    fleet.have([1], NAME, 1).await;
    fleet.start(2);
    let leaf = fleet.all_have(NAME, 1, 1).await;
    let both = || async {
        let page = fleet.admin(1, "/metrics").await?.body;
        let expiry = |node: &str| {
            metric(&page, "certfleet_certificate_expiry_timestamp_seconds{", &[&format!("cert=\"{NAME}\""), &format!("node=\"{node}\"")])
        };
        (expiry("n1")? == leaf.not_after.as_second() as f64 && expiry("n2")? == leaf.not_after.as_second() as f64).then_some(page)
    };
    let page = fleet.until("the expiry of both nodes", both).await;
    assert_eq!(metric(&page, "certfleet_attempts_total{", &["result=\"placed\""]), Some(1.0), "{page}");
    assert!(metric(&page, "certfleet_challenge_requests_total{", &["result=\"challenge\""]).is_some_and(|count| count >= 3.0), "{page}");
    assert!(metric(&page, "certfleet_store_operation_duration_seconds_count{", &["operation=\"put\""]).is_some_and(|n| n > 3.0), "{page}");
    assert_eq!(metric(&page, "certfleet_nodes_live", &[]), Some(2.0), "{page}");
    assert_eq!(metric(&page, "certfleet_store_ready", &[]), Some(1.0), "{page}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(fleet.admin(1, path).await.map(|answer| answer.status), Some(200), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_finished_action_is_one_log_line() {
    let Some(lab) = Lab::new(1, |_| {}).await else { return };
    let config = Config { log: "format = \"json\"\n", ..Config::plain(NAME) };
    let mut fleet = Fleet::with(lab, config, 1).await;
    fleet.start(1);
    fleet.all_have(NAME, 1, 1).await;
    fleet.tells(1, "installed").await;
    fleet.stop(1);
    let lines = fleet.events(1);
    assert_eq!(lines.len(), fleet.log(1).lines().count(), "every line is JSON");
    let nameless: Vec<&Value> = lines.iter().filter(|line| !line["event"].is_string()).collect();
    assert!(nameless.is_empty(), "every line names its event: {nameless:?}");
    for event in TOLD_OF_FIRST_ISSUE {
        let count = fleet.told(1, event).len();
        assert!(count == 1 || (event == "listening" && count == 2), "{event} is told {count} times");
    }
    let about: BTreeSet<&str> =
        lines.iter().filter(|line| line.get("attempt").is_some()).filter_map(|line| line["cert"].as_str()).collect();
    assert_eq!(about, BTreeSet::from([NAME]), "lines about an attempt name the certificate");
    assert_eq!(fleet.told(1, "stopped").len(), 1);
}

/// The people's form has the same fields, and no colours where there is no terminal.
#[tokio::test(flavor = "multi_thread")]
async fn plain_log_lines_have_the_same_fields() {
    let Some(lab) = Lab::new(1, |_| {}).await else { return };
    let mut fleet = Fleet::with(lab, Config { log: "format = \"plain\"\n", ..Config::plain(NAME) }, 1).await;
    fleet.start(1);
    fleet.all_have(NAME, 1, 1).await;
    let log = fleet.log(1);
    for event in TOLD_OF_FIRST_ISSUE {
        assert!(log.contains(&format!("event=\"{event}\"")), "{event} is missing: {log}");
    }
    assert!(!log.contains('\x1b'), "{log}");
}

/// Key files are 0600 unless configured (checked for every fleet); here they are configured.
#[tokio::test(flavor = "multi_thread")]
async fn key_files_have_the_configured_mode() {
    let Some(lab) = Lab::new(1, |_| {}).await else { return };
    let mut config = Config::plain(NAME);
    config.deploy.push_str("mode = \"0640\"\n");
    let mut fleet = Fleet::with(lab, config, 1).await;
    fleet.live_key_mode = 0o640;
    fleet.start(1);
    fleet.all_have(NAME, 1, 1).await;
}

/// `status --json` says the same whether the daemon is asked or, when it does not run, the store.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_told_by_the_daemon_and_by_the_store() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.start_all();
    let leaf = fleet.all_have(NAME, 1, 1).await;
    tells_all(&fleet, &leaf).await;
    fleet.stop(2);
    tells_all(&fleet, &leaf).await;
}

/// What `status --json` on node 2 says of a fleet that is well.
async fn tells_all(fleet: &Fleet, leaf: &Leaf) {
    let told = fleet.certfleet(2, &["status", "--json"]).await.worked();
    let status: Status = serde_json::from_str(&told).expect("the documented JSON");
    assert_eq!((status.schema, status.node.clone(), status.fleet.nodes.len()), (1, fleet.name(2), 2));
    let certificate = status.certificate(&NAME.parse().expect("a name")).expect("it is there");
    assert_eq!((certificate.state, certificate.generation.map(|g| g.0)), (CertificateState::Valid, Some(1)));
    assert!(certificate.nodes.iter().all(|node| node.serial.as_deref() == Some(&leaf.serial)), "{certificate:?}");
}
