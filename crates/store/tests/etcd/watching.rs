//! Watches that break, and what they may not miss.

use std::sync::Arc;

use certfleet_store::{Change, Expect, Store, Watch};
use certfleet_testkit::proxy::{Mode, Proxy};
use tokio::time::timeout;

use crate::lab::{LIMIT, Lab, key, made, must_put, value};

struct Watched {
    lab: Lab,
    direct: Arc<dyn Store>,
    proxy: Proxy,
    watch: Watch,
}

/// Somebody who watches through a proxy.
async fn watched() -> Option<Watched> {
    let lab = Lab::one().await?;
    let direct = made(&lab.url("/watch")).await;
    let proxy = Proxy::start(lab.etcd.address(0)).await.expect("started");
    let through = certfleet_store::open(&format!("etcd://{}/watch", proxy.address())).await.expect("opened");
    let watch = through.watch("certs").await.expect("watched");
    Some(Watched { lab, direct, proxy, watch })
}

async fn next(watch: &mut Watch) -> Change {
    timeout(LIMIT, watch.next()).await.expect("told in time").expect("the watch goes on")
}

async fn write(store: &Arc<dyn Store>, names: &[&str]) {
    for name in names {
        must_put(store, &key(name), &value(name), &Expect::Absent).await;
    }
}

/// What was written meanwhile is told: no reset is needed, since etcd still has the history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_watch_goes_on_where_it_was() {
    let Some(Watched { lab: _lab, direct, proxy, mut watch }) = watched().await else { return };
    write(&direct, &["certs/a"]).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/a")]));
    proxy.set(Mode::Away);
    proxy.cut();
    write(&direct, &["certs/b", "nodes/x", "certs/c"]).await;
    proxy.set(Mode::Pass);
    let mut told = Vec::new();
    while told.len() < 2 {
        match next(&mut watch).await {
            Change::Keys(keys) => told.extend(keys),
            Change::Reset => panic!("nothing was missed"),
        }
    }
    assert_eq!(told, [key("certs/b"), key("certs/c")]);
}

/// etcd has forgotten what was written meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_behind_a_compaction_says_reset() {
    let Some(Watched { lab, direct, proxy, mut watch }) = watched().await else { return };
    write(&direct, &["certs/a"]).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/a")]));
    proxy.set(Mode::Away);
    proxy.cut();
    write(&direct, &["certs/b", "certs/c", "nodes/x"]).await;
    let last: i64 = direct.get(&key("nodes/x")).await.expect("read").expect("there").revision.engine.parse().expect("a number");
    lab.client(0).await.compact(last, None).await.expect("compacted");
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut watch).await, Change::Reset);
    write(&direct, &["certs/d"]).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/d")]));
}

/// The history that goes on after the break is another one: an etcd that was set up anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_on_another_history_says_reset() {
    let (Some(lab), Some(other)) = (Lab::one().await, Lab::one().await) else { return };
    let direct = made(&lab.url("/watch")).await;
    // The other is further on, so that its numbers alone would fit.
    let elsewhere = made(&other.url("/watch")).await;
    write(&elsewhere, &["certs/a", "certs/b", "certs/c", "certs/d"]).await;
    let (first, second) = (lab.etcd.address(0), other.etcd.address(0));
    let proxies = (Proxy::start(first).await.expect("started"), Proxy::start(second).await.expect("started"));
    proxies.1.set(Mode::Away);
    let url = format!("etcd://{},{}/watch", proxies.0.address(), proxies.1.address());
    let through = certfleet_store::open(&url).await.expect("opened");
    let mut watch = through.watch("certs").await.expect("watched");
    write(&direct, &["certs/a"]).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/a")]));
    proxies.1.set(Mode::Pass);
    proxies.0.set(Mode::Away);
    proxies.0.cut();
    assert_eq!(next(&mut watch).await, Change::Reset);
    let error = through.get(&key("certs/a")).await.expect_err("another store");
    assert!(error.to_string().contains("another store"), "{error}");
    let error = through.put(&key("certs/x"), &value(0), &Expect::Absent).await.expect_err("another store");
    assert_eq!(error.kind(), certfleet_store::ErrorKind::NeedsOperator);
    assert_eq!(elsewhere.get(&key("certs/x")).await, Ok(None));
}

/// Who does not read any more is not served any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_watch_ends_at_etcd() {
    let Some(Watched { lab, direct, proxy: _proxy, watch }) = watched().await else { return };
    write(&direct, &["certs/a"]).await;
    let watchers = || async {
        let metrics = lab.etcd.metrics(0).await.expect("etcd serves its metrics");
        metrics.lines().find_map(|line| line.strip_prefix("etcd_debugging_mvcc_watcher_total ")?.parse::<f64>().ok()).expect("counted")
    };
    assert!(watchers().await > 0.0);
    drop(watch);
    certfleet_testkit::eventually("no watcher is left", LIMIT, || async { (watchers().await == 0.0).then_some(()) }).await;
}
