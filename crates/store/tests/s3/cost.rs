//! What it costs: the requests of an idle node, counted by the server.

use std::time::{Duration, Instant};

use certfleet_store::Expect;
use certfleet_testkit::eventually;
use certfleet_testkit::moto::Moto;

use super::{LIMIT, done, key, made, opened, prefix, server, value};

/// Keys, of which 40 do not fit into one page of a list.
const KEYS: usize = 1040;
/// How many looks are waited for.
const LOOKS: usize = 5;

/// Lists, reads and writes that the server was asked for.
fn counts(server: &Moto) -> (usize, usize, usize) {
    let requests = server.requests();
    let count = |is: &dyn Fn(&&String) -> bool| requests.iter().filter(is).count();
    let lists = count(&|request| request.contains("list-type=2"));
    let gets = count(&|request| request.starts_with("GET ")) - lists;
    (lists, gets, count(&|request| request.starts_with("PUT ")))
}

/// However many watch: one list per interval, and nothing else.
#[tokio::test]
async fn an_idle_node_asks_for_one_list_per_interval() {
    let Some(server) = server().await else { return };
    let store = made(server.address(), &prefix()).await;
    done(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    let mut watches = vec![store.watch("").await.expect("watched")];
    for prefix in ["certs", "nodes", "presence", ""] {
        watches.push(store.watch(prefix).await.expect("watched"));
    }
    let (before, begin) = (counts(&server), Instant::now());
    eventually("it looks", LIMIT, || async { (counts(&server).0 >= before.0 + LOOKS).then_some(()) }).await;
    let (after, took) = (counts(&server), begin.elapsed());
    let looks = after.0 - before.0;
    // The first may come at once: it was due.
    assert!(took >= Duration::from_secs(looks as u64 - 1), "{looks} lists in {took:?} at an interval of 1 s");
    assert_eq!((after.1, after.2), (before.1, before.2), "no reads, no writes");
}

/// A list that was read once is read again by its ETags: one request per thousand keys, one for what says which store it is, one per change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_change_is_not_fetched_again() {
    let Some(server) = server().await else { return };
    let prefix = prefix();
    let (store, other) = (made(server.address(), &prefix).await, opened(server.address(), &prefix).await);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..KEYS {
        let store = store.clone();
        writers.spawn(async move { done(&store, &key(&format!("reports/{n}")), &value(n), &Expect::Absent).await });
        if n % 16 == 15 {
            while writers.join_next().await.is_some() {}
        }
    }
    writers.join_all().await;
    let asked = |from: (usize, usize, usize), to: (usize, usize, usize)| (to.0 - from.0, to.1 - from.1);
    let begin = counts(&server);
    assert_eq!(other.list("").await.expect("listed").entries.len(), KEYS);
    let first = counts(&server);
    assert_eq!(asked(begin, first), (2, KEYS + 1), "all of it, once");
    assert_eq!(other.list("").await.expect("listed").entries.len(), KEYS);
    let second = counts(&server);
    assert_eq!(asked(first, second), (2, 1), "nothing changed");
    let at = key("reports/7");
    let before = store.get(&at).await.expect("read").expect("there");
    let changed = done(&store, &at, &value("new"), &Expect::Revision(before.revision)).await;
    store.delete(&key("reports/8"), &store.get(&key("reports/8")).await.expect("read").expect("there").revision).await.expect("deleted");
    let third = counts(&server);
    let listed = other.list("").await.expect("listed").entries;
    assert_eq!(asked(third, counts(&server)), (2, 3), "two changed");
    assert_eq!(listed.len(), KEYS - 1);
    assert!(listed.iter().any(|(key, stored)| *key == at && stored.revision == changed));
    // Whoever wrote it need not read it.
    let fourth = counts(&server);
    store.list("").await.expect("listed");
    assert_eq!(asked(fourth, counts(&server)), (2, 1));
}
