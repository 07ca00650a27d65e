//! URLs that can be used, and what is said of others.

use certfleet_core::secret::Secret;

use super::*;

fn parsed(rest: &str) -> Address {
    Address::parse(rest).unwrap_or_else(|e| panic!("{rest}: {e}"))
}

#[test]
fn hosts_and_prefixes() {
    let plain = parsed("//a");
    assert_eq!((plain.hosts, plain.prefix.as_str(), plain.tls, plain.login), (vec!["a:2379".to_owned()], "/certfleet", None, None));
    let several = parsed("//10.0.0.1:1,[2001:db8::1]:2,b.example.com/fleets/a%2Db/");
    assert_eq!(
        (several.hosts, several.prefix.as_str()),
        (["10.0.0.1:1", "[2001:db8::1]:2", "b.example.com:2379"].map(String::from).to_vec(), "/fleets/a-b")
    );
    assert_eq!(parsed("//[::1]").hosts, ["[::1]:2379"]);
    assert_eq!(parsed("//a,b/p").place(), "etcd://a:2379,b:2379/p");
}

#[test]
fn ways_to_get_in() {
    let tls = parsed("//a?ca=/ca.pem&cert=/c.pem&key=/k%20.pem").tls.expect("TLS");
    assert_eq!((tls.ca, tls.identity), (Some("/ca.pem".into()), Some(("/c.pem".into(), "/k .pem".into()))));
    assert_eq!(parsed("//a?tls=on").tls, Some(Tls::default()));
    let login = parsed("//me%40x:p%3Aw@a?tls=on").login.expect("login");
    assert_eq!((login.user.as_str(), &login.password), ("me@x", &Password::Given(Secret::from("p:w".to_owned()))));
    for (url, password) in [
        ("//me@a?password_env=P&tls=off", Password::Env("P".into())),
        ("//me@a?password_credential=p&tls=off", Password::Credential("p".into())),
    ] {
        assert_eq!(parsed(url).login.expect("login").password, password);
    }
    for url in ["//me@a?password_file=/p&tls=off", "//a?user=me&password_file=/p&ca=/x", "//me@127.0.0.1?password_file=/p"] {
        let login = parsed(url).login.expect("login");
        assert_eq!((login.user.as_str(), login.password), ("me", Password::File("/p".into())), "{url}");
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    for (url, why) in [
        ("", FORM),
        ("a", FORM),
        ("//", "hosts is none"),
        ("//a,,b", "hosts is none"),
        ("//a:0", "hosts is none"),
        ("//a:x", "hosts is none"),
        ("//a:", "hosts is none"),
        ("//[::1", "hosts is none"),
        ("//::1", "hosts is none"),
        ("//a/p q", "printable"),
        ("//a/%zz", "hex digits"),
        ("//a#b", "fragment"),
        ("//a?watch=poll", "unknown option `watch`"),
        ("//a?tls", "unknown option `tls`"),
        ("//a?tls=maybe", "`on` or `off`"),
        ("//a?ca=x.pem", "absolute"),
        ("//me@a?password_credential=../x", "credential"),
        ("//me@a?password_file=/p&password_env=P", "twice"),
        ("//a?cert=/c", "go together"),
        ("//a?ca=/c&tls=off", "exclude"),
        ("//a?ca=/c&ca=/d", "twice"),
        ("//me@127.0.0.1", "no password"),
        ("//a?password_file=/p", "no user"),
        ("//me:x@127.0.0.1?password_file=/p", "twice"),
        ("//me:x@127.0.0.1?user=me", "once"),
        ("//me:x@a", "in the clear"),
    ] {
        let error = Address::parse(url).expect_err(url).to_string();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn passwords_are_not_shown() {
    for url in ["//me:hidden@a", "//me:hid?den@a", "//a?password=hidden", "//me:hidden/@a:x", "//me:hidden@a,,"] {
        let error = Address::parse(url).expect_err(url);
        assert!(!format!("{error} {error:?}").contains("hid"), "{error:?}");
    }
    assert!(!format!("{:?}", parsed("//me:hidden@a?tls=on")).contains("hidden"));
}
