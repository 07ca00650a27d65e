//! Mistakes, and what the operator sees: one snapshot for each group, for people to read.

use crate::{Files, SMALL};

/// [`SMALL`] with one passage replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

/// All refusals of a group, one after the other.
fn refusals(cases: &[(&str, String)]) -> String {
    let shown = cases.iter().map(|(title, text)| {
        let files = Files::new(&[("certfleet.toml", text)]);
        let error = files.load().err().unwrap_or_else(|| panic!("{title}: accepted"));
        assert!(error.place().1.is_some(), "{title}: no place: {error:?}");
        format!("=== {title}\n{}\n", files.shown(&error))
    });
    shown.collect()
}

fn with(addition: &str) -> String {
    format!("{SMALL}\n{addition}\n")
}

#[test]
fn unknown_words_come_with_the_nearest_valid_one() {
    let shown = refusals(&[
        ("unknown table", with("[defualts]\nissuer = \"le\"")),
        ("unknown key in [fleet]", changed("name = \"prod\"", "nmae = \"prod\"")),
        ("unknown key far from any", changed("agree_tos = true", "agree_tos = true\nbanana = 1")),
        ("unknown key in a certificate", changed("deploy = [", "isuer = \"le\"\ndeploy = [")),
        ("unknown key in key = {}", changed("deploy = [", "key = { typ = \"rsa2048\" }\ndeploy = [")),
        ("unknown key of a target", changed("dir = \"/etc/certs/{name}\"", "dirr = \"/etc/certs/{name}\"")),
        ("unknown kind of target", changed("kind = \"files\"", "kind = \"file\"")),
        ("unknown role", changed("store =", "roles = [\"issue\", \"anwser\"]\nstore =")),
        ("unknown key type", changed("deploy = [", "key = { type = \"ecdsa-p265\" }\ndeploy = [")),
        ("unknown challenge", changed("deploy = [", "challenge = \"http01\"\ndeploy = [")),
        ("unknown issuer", changed("deploy = [", "issuer = \"el\"\ndeploy = [")),
        ("unknown target", changed("deploy = [\"web\"]", "deploy = [\"wbe\"]")),
        ("unknown log level", with("[log]\nlevel = \"information\"")),
        ("unknown key in an overlay of another node", with("[node.\"lb-*\"]\nanswer = { htp = \"off\" }")),
        ("unknown target in an overlay", with("[node.lb1]\ndeploy.wep.dir = \"/x\"")),
        ("unknown field of a target in an overlay", with("[node.lb1]\ndeploy.web.dri = \"/x\"")),
        ("log in an overlay", with("[node.lb1]\nlog = { level = \"debug\" }")),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn wrong_values_are_marked() {
    let shown = refusals(&[
        ("no TOML", changed("name = \"prod\"", "name = prod")),
        ("a key twice", changed("name = \"prod\"", "name = \"prod\"\nname = \"test\"")),
        ("no fleet", SMALL[SMALL.find("[issuer").unwrap()..].to_owned()),
        ("fleet without store", changed("store = \"file:///srv/certfleet\"\n", "")),
        ("a string for a flag", with("[answer]\nredirect = \"yes\"")),
        ("a number for a string", changed("name = \"prod\"", "name = 7")),
        ("names as a string", changed("names = [\"example.com\", \"www.example.com\"]", "names = \"example.com\"")),
        ("one certificate with single brackets", changed("[[certificate]]", "[certificate]")),
        ("issuer without a name", with("[issuer]\ndirectory = \"https://x.example/\"")),
        ("not a host name", changed("\"www.example.com\"", "\"www_example.com/x\"")),
        ("a name without a dot", changed("\"www.example.com\"", "\"localhost\"")),
        ("a name twice", changed("\"www.example.com\"", "\"EXAMPLE.com.\"")),
        ("no names", changed("[\"example.com\", \"www.example.com\"]", "[]")),
        ("a certificate's name with a node's", changed("deploy = [", "name = \"a@lb0\"\ndeploy = [")),
        ("a certificate's name with a slash", changed("deploy = [", "name = \"a/b\"\ndeploy = [")),
        ("placed nowhere", changed("deploy = [", "nodes = []\ndeploy = [")),
        ("negative canary", changed("deploy = [", "rollout = { canary = -1 }\ndeploy = [")),
        ("override without percent", changed("deploy = [", "rollout = { override = \"0.2\" }\ndeploy = [")),
        ("override above all", changed("deploy = [", "rollout = { override = \"120%\" }\ndeploy = [")),
        ("plain http directory", changed("https://", "http://")),
        ("directory without scheme", changed("https://acme.example/directory", "acme.example")),
        ("terms not agreed to", changed("agree_tos = true", "agree_tos = false")),
        ("terms not mentioned", changed("agree_tos = true\n", "")),
        ("contact without mailto", changed("agree_tos = true", "agree_tos = true\ncontact = [\"ops@example.com\"]")),
        ("two contacts in one", changed("agree_tos = true", "agree_tos = true\ncontact = [\"mailto:a@b.example,c@d.example\"]")),
        ("a listener without address", with("[answer]\nhttp = \":80\"")),
        ("a listener by name", with("[answer]\nhttp = [\"[::]:80\", \"localhost:81\"]")),
        ("off among addresses", with("[answer]\nhttp = [\"off\", \"[::]:80\"]")),
        ("a short thumbprint", with("[answer.thumbprints]\n\"*.example.com\" = \"LoqX\"")),
        ("metrics on a socket", with("[metrics]\nlisten = \"/run/x.sock\"")),
        ("a relative state", changed("store =", "state = \"var\"\nstore =")),
        ("no roles", changed("store =", "roles = []\nstore =")),
        ("a directory without three slashes", changed("file:///srv/certfleet", "file://srv/certfleet")),
        ("a path for a store", changed("file:///srv/certfleet", "/srv/certfleet")),
        ("a misspelt store", changed("file:///srv/certfleet", "fiel:///srv/certfleet")),
        ("file store with other fields", changed("\"file:///srv/certfleet\"", "{ url = \"file:///srv/x\", prefix = \"a\" }")),
        ("a store with an unknown option", changed("file:///srv/certfleet", "etcd://a:2379?watch=poll")),
        ("a password in the clear", changed("file:///srv/certfleet", "etcd://me:hunter2@a:2379")),
        ("a prefix twice", changed("\"file:///srv/certfleet\"", "{ url = \"etcd://a/b\", prefix = \"c\" }")),
        ("a relative root", changed("\"file:///srv/certfleet\"", "{ url = \"etcd://a\", ca = \"ca.pem\" }")),
        ("a target without kind", changed("kind = \"files\"\n", "")),
        ("a target without place", changed("dir = \"/etc/certs/{name}\"", "mode = \"0640\"")),
        ("a command as a string", changed("dir = ", "reload = \"systemctl reload nginx\"\ndir = ")),
        ("a timeout without unit", changed("dir = ", "timeout = 30\ndir = ")),
        ("kind in an overlay", with("[node.lb1]\ndeploy.web.kind = \"nginx\"")),
        ("an overlay that breaks a target", with("[node.lb1]\ndeploy.web.combined = \"/etc/x.pem\"")),
        ("a node pattern with a slash", with("[node.\"a/b\"]\nroles = [\"deploy\"]")),
        ("a bad include pattern", format!("include = [\"conf.d/**/*.toml\"]\n{SMALL}")),
        ("a missing include", format!("include = [\"more.toml\"]\n{SMALL}")),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn what_cannot_be_alone_or_twice() {
    let second = "[[certificate]]\nnames = [\"example.com\"]\n";
    let many: Vec<String> = (0..101).map(|n| format!("\"h{n}.example.com\"")).collect();
    let no_issuer = changed("[issuer.le]\ndirectory = \"https://acme.example/directory\"\nagree_tos = true\n", "");
    let two_issuers = with("[issuer.other]\ndirectory = \"https://other.example/\"\nagree_tos = true");
    let shown = refusals(&[
        ("a certificate twice", with(second)),
        ("too many names", with(&format!("[[certificate]]\nnames = [{}]", many.join(",")))),
        ("no issuer", no_issuer),
        ("several issuers, none chosen", two_issuers),
        ("an issuer twice in a list", changed("deploy = [", "issuer = [\"le\", \"le\"]\ndeploy = [")),
        ("defaults with an unknown target", with("[defaults]\ndeploy = [\"nginx\"]")),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn later_versions_are_refused_by_name() {
    let url = "\"file:///srv/certfleet\"";
    let shown = refusals(&[
        ("another store", changed(url, "\"valkey://fleet:hunter2@central:7443\"")),
        ("another store as a table", changed(url, "{ url = \"valkey://central:7443\", password = { env = \"PASSWORD\" } }")),
        ("another challenge", changed("deploy = [", "challenge = \"dns-01\"\ndeploy = [")),
        ("a wildcard", changed("\"www.example.com\"", "\"*.example.com\"")),
        ("a name with {node}", changed("\"www.example.com\"", "\"{node}.example.com\"")),
        ("split", changed("deploy = [", "split = true\ndeploy = [")),
        ("source", changed("deploy = [", "source = { cert = \"/x\" }\ndeploy = [")),
        ("dns of a certificate", changed("deploy = [", "dns = \"main\"\ndeploy = [")),
        ("a dns table", with("[dns.main]\nprovider = \"x\"")),
        ("a canary by name", changed("deploy = [", "rollout = { canary = [\"lb1\"] }\ndeploy = [")),
        ("another kind of target", changed("kind = \"files\"", "kind = \"apache\"")),
        ("a target that runs once", changed("dir = ", "run = \"once\"\ndir = ")),
        ("answers from the store", with("[answer]\nstateless = false")),
        ("peers", with("[answer]\npeers = [\"http://[2001:db8::1]:31080\"]")),
        ("account binding", changed("agree_tos = true", "agree_tos = true\neab = { kid = \"k\", hmac_key = { file = \"/etc/k\" } }")),
        ("limits", changed("agree_tos = true", "agree_tos = true\nlimits = \"none\"")),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_store_is_served_by_one_node_that_has_one() {
    let served = |tables: &str| changed("\"file:///srv/certfleet\"", "\"https://central:7443\"") + tables;
    let own = "store = \"file:///var/lib/certfleet/store\"\n";
    let shown = refusals(&[
        ("by all", changed("[fleet]\n", "[fleet]\nserve = \"[::]:7443\"\n")),
        ("by a pattern", served(&format!("[node.\"c-*\"]\n{own}serve = \"[::]:7443\"\n"))),
        ("by one that has none", served("[node.central]\nserve = \"[::]:7443\"\n")),
        ("by two", served(&format!("[node.c1]\n{own}serve = \"[::]:7443\"\n[node.c2]\n{own}serve = \"[::]:7443\"\n"))),
        ("without a port", served(&format!("[node.central]\n{own}serve = \"192.0.2.1\"\n"))),
        ("on a socket", served(&format!("[node.central]\n{own}serve = \"unix:/run/store.sock\"\n"))),
        ("with a password", changed("\"file:///srv/certfleet\"", "\"https://fleet:hunter2@central:7443\"")),
        ("with a ca", changed("\"file:///srv/certfleet\"", "{ url = \"https://central:7443\", ca = \"/etc/ca.pem\" }")),
        ("with a path", changed("\"file:///srv/certfleet\"", "\"https://central:7443/store\"")),
    ]);
    insta::assert_snapshot!(shown);
    assert!(!shown.contains("hunter2"));
}

#[test]
fn literal_secrets_are_refused_and_never_shown() {
    let url = "\"file:///srv/certfleet\"";
    let shown = refusals(&[
        ("a literal key", changed("agree_tos = true", "agree_tos = true\neab = { kid = \"k\", hmac_key = \"hunter2\" }")),
        ("a literal password", changed(url, "{ url = \"redis://a\", password = \"hunter2\" }")),
        ("a literal password in a file that is no TOML", changed(url, "{ url = redis, password = \"hunter2\" }")),
        ("a number", changed(url, "{ url = \"redis://a\", password = 847362 }")),
        ("two places", changed(url, "{ url = \"redis://a\", password = { env = \"A\", file = \"/b\" } }")),
        ("a misspelt place", changed(url, "{ url = \"redis://a\", password = { fiel = \"/b\" } }")),
        ("a relative file", changed(url, "{ url = \"redis://a\", password = { file = \"b\" } }")),
    ]);
    assert!(!shown.contains("hunter2") && !shown.contains("847362"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn mistakes_over_several_files_show_both() {
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("a certificate in two files", &[("conf.d/a.toml", "[[certificate]]\nnames = [\"www.example.com\"]\nname = \"example.com\"")]),
        ("a table in two files", &[("conf.d/a.toml", "[fleet]\nname = \"x\"\nstore = \"file:///y\"")]),
        (
            "a mistake in an included file",
            &[("conf.d/a.toml", "# nothing\n"), ("conf.d/b.toml", "\n[issuer.x]\ndirectroy = \"https://x\"")],
        ),
    ];
    let shown: String = cases
        .iter()
        .map(|(title, more)| {
            let main = format!("include = [\"conf.d/*.toml\"]\n{SMALL}");
            let files = Files::new(&[&[("certfleet.toml", main.as_str())], *more].concat());
            format!("=== {title}\n{}\n", files.shown(&files.load().unwrap_err()))
        })
        .collect();
    insta::assert_snapshot!(shown);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let files = Files::new(&[("folder/x", ""), ("latin.toml", "")]);
    std::fs::write(files.path("latin.toml"), b"name = \"\xff\"").unwrap();
    std::fs::write(files.path("large.toml"), " ".repeat(4 * 1024 * 1024 + 1)).unwrap();
    let message = |name: &str| certfleet_node::config::load(&files.path(name)).unwrap_err().one_line();
    assert!(message("none.toml").contains("none.toml: the file cannot be read: No such file"), "{}", message("none.toml"));
    assert!(message("folder").contains("folder: this is not a file"), "{}", message("folder"));
    assert!(message("latin.toml").contains("latin.toml: the file is not UTF-8 (byte 8)"), "{}", message("latin.toml"));
    assert!(message("large.toml").contains("large.toml: the file is larger than 4 MiB"), "{}", message("large.toml"));
}

#[test]
fn one_line_is_for_logs() {
    let files = Files::new(&[("certfleet.toml", &changed("name = \"prod\"", "nmae = \"prod\""))]);
    let line = files.load().unwrap_err().one_line();
    assert!(line.ends_with("certfleet.toml:3:1: unknown key `nmae` (did you mean `name`?)"), "{line}");
}
