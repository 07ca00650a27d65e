//! What one node makes of the configuration: overlays, defaults, `--print`.

use certfleet_core::spec::Role;
use certfleet_node::config::{LogFormat, LogLevel};

use crate::{Files, SMALL, good, settings};

const OVERLAID: &str = r#"
[fleet]
name = "prod"
store = "file:///srv/certfleet"

[node."web-*"]
roles = ["answer", "deploy"]
answer = { http = "off" }
deploy.web.dir = "/srv/certs/{name}"

[node.web-9]
answer.http = ["127.0.0.1:8080", "unix:/run/x.sock"]
metrics.listen = "127.0.0.1:9464"
store = "file:///mnt/certfleet"
state = "/data"
admin = { listen = "127.0.0.1:7000", group = "ops" }

[answer]
redirect = false
[answer.thumbprints]
"*.example.com" = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"

[issuer.le]
directory = "https://acme.example/directory"
agree_tos = true

[[certificate]]
names = ["example.com"]
deploy = ["web", "balancer"]

[deploy.web]
kind = "files"
dir = "/etc/certs/{name}"

[deploy.balancer]
kind = "haproxy"
nodes = ["lb1"]
bundle = "/etc/haproxy/certs/{name}.pem"
socket = "/run/haproxy/admin.sock"
"#;

#[test]
fn what_is_left_out_has_a_default() {
    let lb1 = settings(&good(SMALL), "lb1");
    assert_eq!(lb1.roles, [Role::Issue, Role::Answer, Role::Deploy].into());
    assert_eq!((lb1.state.to_str(), lb1.admin.listen.as_str()), (Some("/var/lib/certfleet"), "/run/certfleet/admin.sock"));
    assert_eq!((lb1.answer.http, lb1.answer.redirect), (vec!["[::]:80".to_owned()], true));
    assert_eq!((lb1.metrics, lb1.admin.group), (None, None));
    assert_eq!((lb1.log.format, lb1.log.level), (LogFormat::Plain, LogLevel::Info));
}

#[test]
fn what_stands_beside_the_url_of_a_store_becomes_a_part_of_it() {
    let store = |table: &str| settings(&good(&OVERLAID.replacen("\"file:///srv/certfleet\"", table, 1)), "lb1").store.clone();
    let all = r#"{ url = "etcd://a,b:1/?tls=on", prefix = "/xy", ca = "/c&a.pem", user = "m@e", password = { file = "/p w" } }"#;
    assert_eq!(store(all), "etcd://a,b:1/xy?tls=on&ca=/c%26a.pem&user=m%40e&password_file=/p%20w");
    let files = r#"{ url = "etcd://a/p", cert = "/c", key = "/k", user = "me", password = { credential = "etcd" } }"#;
    assert_eq!(store(files), "etcd://a/p?cert=/c&key=/k&user=me&password_credential=etcd");
    let variable = r#"{ url = "etcd://me@127.0.0.1", password = { env = "P" } }"#;
    assert_eq!(store(variable), "etcd://me@127.0.0.1?password_env=P");
    assert_eq!(store("\"etcd://a\""), "etcd://a");
    let redis = r#"{ url = "rediss://me@a:1/2?wait=1", prefix = "x:", ca = "/c", password = { file = "/p" } }"#;
    assert_eq!(store(redis), "rediss://me@a:1/2?wait=1&ca=/c&password_file=/p&prefix=x%3A");
    let s3 = r#"{ url = "s3://fleets?region=x", prefix = "a/b", ca = "/c", user = "id", password = { credential = "s3" } }"#;
    assert_eq!(store(s3), "s3://fleets/a/b?region=x&ca=/c&user=id&password_credential=s3");
}

#[test]
fn one_node_serves_its_store_and_the_others_use_it() {
    let text = SMALL.replacen("file:///srv/certfleet", "https://central:7443", 1)
        + "[node.central]\nstore = \"file:///var/lib/certfleet/store\"\nserve = \"[::]:7443\"\n";
    let configuration = good(&text);
    let (central, worker) = (settings(&configuration, "central"), settings(&configuration, "web-1"));
    assert_eq!((central.store.as_str(), central.serve.as_deref()), ("file:///var/lib/certfleet/store", Some("[::]:7443")));
    assert_eq!((worker.store.as_str(), worker.serve.as_deref()), ("https://central:7443", None));
    for settings in [&central, &worker] {
        assert_eq!(
            (settings.fleet_store.as_str(), settings.server.as_ref().map(|node| node.as_str())),
            ("https://central:7443", Some("central"))
        );
    }
    let again = good(&central.print());
    let (central_again, worker_again) = (settings(&again, "central"), settings(&again, "web-1"));
    assert_eq!((&central_again.store, &central_again.serve, &worker_again.store), (&central.store, &central.serve, &worker.store));
}

#[test]
fn an_exact_name_beats_a_pattern_key_by_key() {
    let configuration = good(OVERLAID);
    let (lb1, web1, web9) = (settings(&configuration, "lb1"), settings(&configuration, "web-1"), settings(&configuration, "web-9"));
    assert_eq!(lb1.roles.len(), 3);
    assert_eq!(web1.roles, [Role::Answer, Role::Deploy].into());
    assert_eq!(web9.roles, web1.roles, "the pattern still says what the exact name does not");
    assert_eq!((lb1.answer.http.len(), web1.answer.http.len()), (1, 0));
    assert_eq!(web9.answer.http, ["127.0.0.1:8080", "unix:/run/x.sock"]);
    assert_eq!((web9.store.as_str(), web9.state.to_str()), ("file:///mnt/certfleet", Some("/data")));
    assert_eq!((web9.admin.listen.as_str(), web9.admin.group.as_deref()), ("127.0.0.1:7000", Some("ops")));
    assert_eq!(web9.metrics.map(|address| address.port()), Some(9464));
    assert!(!web9.answer.redirect && web9.answer.thumbprints.len() == 1, "what no overlay sets comes from the base");
}

#[test]
fn a_node_has_the_targets_that_are_on_it() {
    let configuration = good(OVERLAID);
    let names = |node| settings(&configuration, node).targets.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names("lb1"), ["balancer", "web"]);
    assert_eq!(names("web-1"), ["web"]);
    let dir = |node| settings(&configuration, node).target_tables[&"web".parse().unwrap()]["dir"].as_str().map(str::to_owned);
    assert_eq!(dir("lb1").as_deref(), Some("/etc/certs/{name}"));
    assert_eq!(dir("web-1").as_deref(), Some("/srv/certs/{name}"));
    let named: Vec<_> = configuration.nodes_named().iter().map(ToString::to_string).collect();
    assert_eq!(named, ["lb1", "web-9"]);
}

#[test]
fn two_patterns_that_set_one_key_are_an_error_for_the_nodes_of_both() {
    let text = format!(
        "{SMALL}\n[node.\"a-*\"]\nanswer.http = \"off\"\nroles = [\"deploy\"]\n[node.\"*-1\"]\nanswer = {{ http = \"[::]:81\" }}\n"
    );
    let files = Files::new(&[("certfleet.toml", &text)]);
    let configuration = files.load().unwrap();
    assert_eq!(settings(&configuration, "a-2").answer.http.len(), 0);
    assert_eq!(settings(&configuration, "b-1").answer.http, ["[::]:81"]);
    let error = configuration.for_node(&"a-1".parse().unwrap()).unwrap_err();
    insta::assert_snapshot!(files.shown(&error));

    let unsettled = Files::new(&[("certfleet.toml", &format!("{text}[node.a-1]\nroles = [\"issue\"]\n"))]);
    assert!(unsettled.load().unwrap_err().to_string().contains("for node `a-1`"), "a node that is named is tried when loading");
    let settled = good(&format!("{text}[node.a-1]\nanswer.http = \"[::]:82\"\n"));
    assert_eq!(settings(&settled, "a-1").answer.http, ["[::]:82"]);
}

#[test]
fn patterns_that_set_different_keys_go_together() {
    let text = format!("{SMALL}\n[node.\"a-*\"]\nanswer.http = \"off\"\n[node.\"*-1\"]\nanswer.redirect = false\nroles = [\"deploy\"]\n");
    let a1 = settings(&good(&text), "a-1");
    assert!(a1.answer.http.is_empty() && !a1.answer.redirect && a1.roles.len() == 1);
}

#[test]
fn the_printed_configuration_is_what_the_node_makes_of_it() {
    let web9 = settings(&good(OVERLAID), "web-9");
    insta::assert_snapshot!(web9.print());
    let again = settings(&good(&web9.print()), "web-9");
    assert_eq!(
        (again.spec.certificates, again.spec.issuers, again.spec.targets),
        (web9.spec.certificates, web9.spec.issuers, web9.spec.targets)
    );
    assert_eq!((again.answer, again.admin, again.roles, again.state), (web9.answer, web9.admin, web9.roles, web9.state));
    let configuration = good(SMALL);
    for node in ["lb1", "x"] {
        let printed = settings(&configuration, node).print();
        let reprinted = settings(&good(&printed), node).print();
        let body = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(body(&printed), body(&reprinted));
    }
}
