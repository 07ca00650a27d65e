//! What parses, and to what: the design's example, defaults, includes, the hash.

use certfleet_core::spec::{KeyType, OnFailure};
use certfleet_node::config::ConfigError;

use crate::{Files, SMALL, good, settings};

/// The example of the design, without what later versions bring.
const DESIGN: &str = r#"
include = ["conf.d/*.toml"]

[fleet]
name  = "prod"
store = "file:///srv/certfleet"
state = "/var/lib/certfleet"
roles = ["issue", "answer", "deploy"]

[node."web-*"]
roles  = ["answer", "deploy"]
answer = { http = "off" }

[defaults]
issuer = "letsencrypt"

[issuer.letsencrypt]
directory = "https://acme-v02.api.letsencrypt.org/directory"
contact   = ["mailto:ops@example.com"]
agree_tos = true
root = "pebble-root.pem"
profile = "tlsserver"

[answer]
http  = "[::]:80"
redirect = true
stateless = true
peers = []
[answer.thumbprints]

[admin]
[metrics]
[log]

[[certificate]]
name   = "example.com"
names  = ["example.com", "www.example.com"]
issuer = "letsencrypt"
challenge = "http-01"
key    = { type = "ecdsa-p256", policy = "shared", reuse = false }
nodes  = ["lb*"]
deploy = ["haproxy"]
rollout = { canary = 1, on_failure = "halt", override = "20%" }

[deploy.haproxy]
kind   = "haproxy"
nodes  = ["lb*"]
run    = "each"
bundle = "/etc/haproxy/certs/{name}.pem"
socket = "/run/haproxy/admin.sock"
verify = "127.0.0.1:443"
"#;

#[test]
fn the_example_of_the_design_parses() {
    let files = Files::new(&[("certfleet.toml", DESIGN)]);
    let configuration = files.load().unwrap();
    assert_eq!(configuration.warnings().len(), 0, "{:?}", configuration.warnings());
    let lb1 = settings(&configuration, "lb1");
    let spec = &lb1.spec.certificates[&"example.com".parse().unwrap()];
    assert_eq!((spec.names.len(), spec.issuers.len(), spec.rollout.canary), (2, 1, 1));
    assert_eq!(lb1.issuer_roots[&"letsencrypt".parse().unwrap()], files.path("pebble-root.pem"));
    assert_eq!(lb1.spec.issuers[&"letsencrypt".parse().unwrap()].profile.as_deref(), Some("tlsserver"));
    assert_eq!((lb1.targets.len(), settings(&configuration, "web-1").targets.len()), (1, 0));
}

#[test]
fn the_shipped_example_is_accepted() {
    let text = include_str!("../../../../examples/certfleet.toml");
    let configuration = good(text);
    assert_eq!(configuration.warnings().len(), 0, "{:?}", configuration.warnings());
    assert!(settings(&configuration, "web-1").answer.http[0].starts_with("unix:"));
    assert_eq!(settings(&configuration, "lb1").targets.len(), 1);
}

#[test]
fn defaults_hold_where_a_certificate_is_silent() {
    let text = SMALL.replace("deploy = [\"web\"]", "rollout = { canary = 0 }\nkey = { reuse = false }")
        + "[defaults]\nnodes = [\"b\", \"a\", \"b\"]\ndeploy = [\"web\"]\nkey = { type = \"rsa2048\" }\n\
           rollout = { canary = 2, on_failure = \"continue\", override = \"5%\" }\n";
    let configuration = good(&text);
    let spec = &configuration.spec().certificates[&"example.com".parse().unwrap()];
    assert_eq!(spec.key, KeyType::Rsa2048);
    assert_eq!((spec.rollout.canary, spec.rollout.on_failure, spec.rollout.override_percent), (0, OnFailure::Continue, 5));
    assert_eq!(spec.nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(spec.deploy.len(), 1);
}

#[test]
fn names_are_normalised_and_name_the_certificate() {
    let text = SMALL.replace("[\"example.com\", \"www.example.com\"]", "[\"Bücher.Example.\", \"192.0.2.1\", \"2001:DB8::0\"]");
    let configuration = good(&text);
    let (name, spec) = configuration.spec().certificates.first_key_value().unwrap();
    assert_eq!(name.as_str(), "xn--bcher-kva.example");
    assert_eq!(spec.names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["xn--bcher-kva.example", "192.0.2.1", "2001:db8::"]);
}

#[test]
fn loopback_directories_may_be_plain() {
    for host in ["localhost:14000", "127.0.0.9", "[::1]:80"] {
        good(&SMALL.replace("https://acme.example/directory", &format!("http://{host}/dir")));
    }
}

#[test]
fn what_is_perhaps_not_meant_is_a_warning() {
    let text = SMALL.replace("deploy = [\"web\"]\n", "")
        + "[admin]\nlisten = \"0.0.0.0:7000\"\n[issuer.spare]\ndirectory = \"https://b.example/\"\nagree_tos = true\n[defaults]\nissuer = \"le\"\n";
    let configuration = good(&text);
    let lines: Vec<_> = configuration.warnings().iter().map(ConfigError::to_string).collect();
    assert_eq!(
        lines,
        [
            "no certificate is installed by target `web`",
            "no certificate is ordered from issuer `spare`",
            "the admin listener can be reached from other machines, by anyone",
            "certificate `example.com` is ordered and installed nowhere",
        ]
    );
}

#[test]
fn files_are_included_once_in_order_and_relative_to_the_includer() {
    let main = format!("include = [\"conf.d/*.toml\", \"conf.d/a.toml\"]\n{SMALL}");
    let files = Files::new(&[
        ("certfleet.toml", &main),
        ("conf.d/a.toml", "include = [\"deeper/c.toml\", \"../certfleet.toml\"]\n[[certificate]]\nnames = [\"a.example.com\"]"),
        ("conf.d/b.toml", "[[certificate]]\nnames = [\"b.example.com\"]"),
        ("conf.d/.hidden.toml", "this is not read"),
        ("conf.d/readme.txt", "nor is this"),
        (
            "conf.d/deeper/c.toml",
            "[issuer.other]\ndirectory = \"https://o.example/\"\nagree_tos = true\nroot = \"root.pem\"\n[defaults]\nissuer = \"le\"",
        ),
    ]);
    let configuration = files.load().unwrap();
    let read: Vec<_> = configuration.files().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(read.len(), 4, "{read:?}");
    assert_eq!(configuration.spec().certificates.len(), 3);
    let root = &settings(&configuration, "x").issuer_roots[&"other".parse().unwrap()];
    assert_eq!(root.canonicalize().err().map(|_| root.ends_with("deeper/root.pem")), Some(true), "{root:?}");
}

#[test]
fn the_number_of_included_files_is_bounded() {
    let files = Files::new(&[("certfleet.toml", &format!("include = [\"many/*.toml\"]\n{SMALL}"))]);
    std::fs::create_dir(files.path("many")).unwrap();
    let write = |n: usize| std::fs::write(files.path(&format!("many/{n}.toml")), "").unwrap();
    (0..1000).for_each(write);
    assert_eq!(files.load().unwrap().files().count(), 1001);
    write(1000);
    assert!(files.load().unwrap_err().to_string().contains("too many files"));
}

#[test]
fn the_same_meaning_has_the_same_hash() {
    let one = good(SMALL).hash();
    let parts: Vec<&str> = SMALL.split("\n\n").collect();
    let reordered = parts.iter().rev().map(|part| format!("{part} # and a comment\n\n")).collect::<String>().replace(" = ", "   =   ");
    assert_eq!(good(&reordered).hash(), one);
    let split = Files::new(&[
        ("certfleet.toml", &format!("include = [\"*.inc\"]\n{}", parts[0])),
        ("a.inc", parts[3]),
        ("b.inc", parts[2]),
        ("c.inc", parts[1]),
    ]);
    assert_eq!(split.load().unwrap().hash(), one);
    let of_node =
        format!("{SMALL}\n[node.lb1]\nstate = \"/x\"\n[log]\nlevel = \"debug\"\n[admin]\ngroup = \"adm\"\n[answer]\nhttp = \"off\"");
    assert_eq!(good(&of_node).hash(), one);
    assert_eq!(good(&SMALL.replace("/srv/certfleet", "/mnt/certfleet")).hash(), one);
    let spelt_out = SMALL.replace("deploy = [", "issuer = \"le\"\nchallenge = \"http-01\"\nkey = { type = \"ecdsa-p256\" }\ndeploy = [");
    assert_eq!(good(&spelt_out).hash(), one);
    assert_eq!(good(&SMALL.replace("kind = ", "run = \"each\"\ntimeout = \"30000ms\"\nkind = ")).hash(), one);
}

#[test]
fn another_meaning_has_another_hash() {
    let changes = [
        ("\"www.example.com\"", "\"ftp.example.com\""),
        ("acme.example", "ca.example"),
        ("agree_tos = true", "agree_tos = true\nprofile = \"p\""),
        ("/etc/certs/{name}", "/etc/ssl/{name}"),
        ("kind = \"files\"", "kind = \"files\"\nnodes = [\"lb*\"]"),
        ("deploy = [\"web\"]", "deploy = [\"web\"]\nrollout = { canary = 1 }"),
        ("deploy = [\"web\"]", "deploy = [\"web\"]\nnodes = [\"lb*\"]"),
        ("deploy = [\"web\"]", "deploy = [\"web\"]\nname = \"other\""),
    ];
    let mut seen = std::collections::BTreeSet::from([good(SMALL).hash()]);
    for (from, to) in changes {
        assert!(seen.insert(good(&SMALL.replace(from, to)).hash()), "{from} → {to}");
    }
}

#[test]
fn thousands_of_certificates_are_read() {
    let more: String = (0..20_000).map(|n| format!("[[certificate]]\nnames=[\"h{n}.example.com\"]\n")).collect();
    assert_eq!(good(&format!("{SMALL}\n{more}")).spec().certificates.len(), 20_001);
}
