//! URLs: what is taken, what is refused, and that nothing secret is shown.

use super::url::{Login, Password, RedisUrl};

fn parsed(url: &str) -> Result<RedisUrl, String> {
    let (scheme, rest) = url.split_once(':').expect("a scheme");
    assert!(RedisUrl::has_scheme(scheme), "{url}");
    RedisUrl::parse(scheme, rest)
}

#[test]
fn urls_are_read() {
    for (url, shown) in [
        ("redis://db", "redis://db:6379/0"),
        ("redis://[::1]:7000/2", "redis://[::1]:7000/2"),
        ("rediss://me:p%40ss@db:1?ca=/ca.pem&cert=/c&key=/k&prefix=a:&wait=2", "rediss://db:1/0"),
        (
            "redis+sentinel://a,b:1/prod/3?user=u&password_file=/q&sentinel_user=s&sentinel_password_file=/p",
            "redis+sentinel://a:26379,b:1/prod/3",
        ),
    ] {
        assert_eq!(parsed(url).expect(url).to_string(), shown);
    }
    let url = parsed("rediss://me:p%40ss@db:1?ca=/ca.pem&prefix=a:&wait=2").expect("parsed");
    assert_eq!((url.wait, url.prefix.as_str(), url.tls.and_then(|tls| tls.ca)), (2, "a:", Some("/ca.pem".into())));
    let login = Login { user: Some("me".into()), password: Some(Password::Given("p@ss".to_owned().into())) };
    assert_eq!(url.login, login);
    assert_eq!(parsed("redis://:pw@db").expect("parsed").login.user, None);
    for (option, password) in
        [("env=REDIS_PW", Password::Env("REDIS_PW".into())), ("credential=redis", Password::Credential("redis".into()))]
    {
        assert_eq!(parsed(&format!("redis://me@db?password_{option}")).expect(option).login.password, Some(password));
    }
    let file = parsed("redis://me@db?password_file=/run/pw").expect("parsed").login.password;
    assert_eq!(file, Some(Password::File("/run/pw".into())));
}

#[test]
fn passwords_do_not_print() {
    let url = parsed("redis://me:hunter2@db").expect("parsed");
    assert!(!format!("{url:?} {url}").contains("hunter2"));
}

#[test]
fn bad_urls_are_named_without_their_secrets() {
    for (url, why) in [
        ("redis:/db", "two slashes"),
        ("redis://", "a host is"),
        ("redis://db:port", "a host is"),
        ("redis://db:0", "a host is"),
        ("redis://[::1", "a host is"),
        ("redis://db/x", "number"),
        ("redis://db/-1", "number"),
        ("redis://db/0/1", "number alone"),
        ("redis://a,b", "several servers"),
        ("redis+sentinel://a", "the name that the Sentinels give"),
        ("redis://db?ca=/x", "rediss://"),
        ("rediss://db?ca=x", "absolute"),
        ("redis://me@db?password_file=x", "absolute"),
        ("rediss://db?cert=/x", "go together"),
        ("redis://db?sentinel_user=x", "with Sentinel alone"),
        ("redis://me@db", "no password"),
        ("redis://db?password_credential=../x", "without `/`"),
        ("redis://db?password_env=A&password_file=/x", "two passwords"),
        ("redis://db?user=me", "no password"),
        ("redis://me@db?user=you&password_file=/x", "two users"),
        ("redis://me:hunter2@db?password_file=/x", "two passwords"),
        ("redis://db?password=hunter2", "does not belong"),
        ("redis://db?tls=hunter2", "unknown option `tls`"),
        ("redis://db?wait=many", "how many"),
        ("redis://db?wait=17", "how many"),
        ("redis://db?prefix=a%20b", "printable"),
        ("redis://db?prefix=", "no value"),
        ("redis://db?prefix", "no value"),
        ("redis://db#x", "fragment"),
    ] {
        let error = parsed(url).expect_err(url);
        assert!(error.contains(why) && !error.contains("hunter2"), "{url}: {error}");
    }
}
