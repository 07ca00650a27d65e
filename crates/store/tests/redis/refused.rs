//! Servers that must not be used, and who may use one.

use certfleet_store::{ErrorKind, Expect, Settled, StoreError, put_settled};
use certfleet_testkit::redis::Redis;

use super::{done, key, made, server, value};

/// The page that says which rights are needed.
const PAGE: &str = include_str!("../../../../docs/store-redis.md");

/// The rights of the line that the page has for `redis-cli`.
fn rights() -> Vec<&'static str> {
    let line = PAGE.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER certfleet on")).expect("the page has the line");
    line.split_whitespace().skip(1).map(|right| right.trim_matches('\'')).collect()
}

/// A server that throws keys away when it is full.
#[tokio::test]
async fn evicting_servers_are_refused() {
    let Some(server) = Redis::start(&["maxmemory-policy allkeys-lru"]).await else { return };
    let url = format!("redis://{}", server.address());
    let error = certfleet_store::open_or_create(&url).await.expect_err("refused");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::NeedsOperator);
    assert!(
        text.contains("allkeys-lru") && text.contains("maxmemory-policy noeviction") && text.contains(&server.address().to_string()),
        "{text}"
    );
    assert_eq!(server.cli(&["DBSIZE"]), "0", "nothing was written");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    certfleet_store::open_or_create(&url).await.expect("taken");
}

/// A user with the rights of the page can do all; without them, what is missing is said.
#[tokio::test]
async fn least_rights_are_enough() {
    let Some(server) = server().await else { return };
    let rights: Vec<&str> = ["ACL", "SETUSER", "certfleet", "on", ">hunter2"].into_iter().chain(rights()).collect();
    assert_eq!(server.cli(&rights), "OK");
    let file = server.dir().join("password");
    std::fs::write(&file, "hunter2\n").expect("written");
    for url in [
        format!("redis://certfleet:hunter2@{}", server.address()),
        format!("redis://certfleet@{}/0?password_file={}", server.address(), file.display()),
    ] {
        let store = certfleet_store::open_or_create(&url).await.expect("made");
        let mut watch = store.watch("").await.expect("watched");
        assert_eq!(certfleet_store::probe(&*store).await, Ok(()));
        let settled = put_settled(&*store, &key(&format!("k/{}", url.len())), &value(1), &Expect::Absent).await;
        assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
        assert_eq!(store.list("").await.expect("listed").unreadable, []);
        super::next(&mut watch).await;
        assert!(!format!("{store:?}").contains("hunter2"));
    }
    server.cli(&["ACL", "SETUSER", "certfleet", "-hset"]);
    let store = certfleet_store::open(&format!("redis://certfleet:hunter2@{}", server.address())).await.expect("opened");
    let error = store.put(&key("certs/b"), &value(1), &Expect::Absent).await.expect_err("not allowed");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("docs/store-redis.md"), "{error}");
    assert_eq!(made(server.address()).await.get(&key("certs/b")).await, Ok(None));
}

/// None of them is there for nothing.
#[tokio::test]
async fn each_right_is_needed() {
    let Some(server) = server().await else { return };
    let url = format!("redis://certfleet:hunter2@{}/1?wait=1", server.address());
    let all = |url: String| async move {
        let store = certfleet_store::open_or_create(&url).await.map_err(|e| e.to_string())?;
        // A string, a list, a hash; each looked at and replaced. No replica has it, which is said after it was asked.
        for at in ["a", "b", "c"].map(key) {
            let expect = match store.get(&at).await {
                Err(StoreError::Corrupt { revision, .. }) => Expect::Revision(revision),
                other => Expect::Revision(other.map_err(|e| e.to_string())?.expect("there").revision),
            };
            match store.put(&at, &value(1), &expect).await {
                Err(StoreError::NotDurable { why, .. }) if why.contains("0 of 1") => {}
                other => return Err(format!("{other:?}")),
            }
        }
        store.list("").await.map_err(|e| e.to_string())
    };
    let user: Vec<&str> = ["ACL", "SETUSER", "certfleet", "on", ">hunter2"].into_iter().chain(rights()).collect();
    let missing = std::iter::once("").chain(rights().into_iter().filter(|right| right.starts_with('+')));
    for right in missing {
        for words in [
            &["SET", "certfleet:data/a", "x"][..],
            &["RPUSH", "certfleet:data/b", "x"],
            &["HSET", "certfleet:data/c", "revision", "1", "value", "x"],
        ] {
            server.cli(&["-n", "1", "DEL", words[1]]);
            server.cli(&[&["-n", "1"], words].concat());
        }
        server.cli(&["-n", "1", "DEL", "certfleet:meta"]);
        assert_eq!(server.cli(&user), "OK");
        if !right.is_empty() {
            assert_eq!(server.cli(&["ACL", "SETUSER", "certfleet", &right.replace('+', "-")]), "OK");
        }
        server.cli(&["SCRIPT", "FLUSH"]);
        let done = all(url.clone()).await;
        assert_eq!(done.is_ok(), right.is_empty(), "{right}: {done:?}");
        server.cli(&["CLIENT", "KILL", "USER", "certfleet"]);
    }
}

/// Wrong passwords, missing ones and files that are not there: told, and never shown.
#[tokio::test]
async fn passwords_are_checked_and_never_shown() {
    let Some(server) = Redis::start_with(&["requirepass hunter2"], &["-a", "hunter2"]).await else { return };
    let at = server.address();
    let store = certfleet_store::open_or_create(&format!("redis://:hunter2@{at}")).await.expect("made");
    done(&store, &key("fleet"), &value(1), &Expect::Absent).await;
    for (url, why) in [
        (format!("redis://{at}"), "password"),
        (format!("redis://:hunter3@{at}"), "password"),
        (format!("redis://x:hunter3@{at}"), "password"),
        (format!("redis://x@{at}?password_file=/nowhere"), "/nowhere"),
        (format!("redis://x@{at}?password_env=CERTFLEET_NOT_SET"), "`CERTFLEET_NOT_SET`"),
    ] {
        let error = certfleet_store::open(&url).await.expect_err("not let in");
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::NeedsOperator && text.contains(why) && !text.contains("hunter"), "{url}: {text}");
    }
    let error = certfleet_store::open(&format!("redis://:hunter2@{at}/x?password=hunter2")).await.expect_err("a bad URL");
    assert!(!error.to_string().contains("hunter2") && error.kind() == ErrorKind::Terminal, "{error}");
}
