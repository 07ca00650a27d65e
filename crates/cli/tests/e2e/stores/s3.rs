//! S3 in trouble: it answers 503, it is slow, and it takes a write whose answer is lost.

use certfleet_testkit::moto::{Moto, Setup};

use super::{POINTS, Scene};

const BUCKET: &str = "fleets";

/// A server with a bucket, and a URL for the store in it.
async fn server() -> Option<(Moto, String)> {
    let server = Moto::start(&Setup::default()).await?;
    server.make_bucket(BUCKET).await;
    let url = server.url(BUCKET, server.address(), 1);
    Some((server, url))
}

/// How many requests went wrong so.
fn wrong(server: &Moto, how: &str) -> usize {
    server.requests().iter().filter(|request| request.ends_with(how)).count()
}

/// At each point of a renewal things go wrong so, and each time they did.
async fn goes_wrong(faults: &str, how: &str) {
    let Some((server, url)) = server().await else { return };
    let Some(mut scene) = Scene::start(&url).await else { return };
    for point in POINTS {
        println!("{faults} at {point}");
        let before = wrong(&server, how);
        scene.renew_disturbed(point, async || server.fail(faults)).await;
        scene.settles().await.lost_nothing();
        assert!(wrong(&server, how) > before, "nothing went wrong");
    }
    scene.end().await;
}

/// Writes that take place although the answer says 503, in the middle of a renewal: none is done twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_told_503_after_its_writes_took_place() {
    goes_wrong(r#"{"status": 503, "code": "SlowDown", "done": true, "methods": ["PUT"], "times": 12}"#, " 503").await;
}

/// The same with answers that are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_loses_the_answers_to_its_writes() {
    goes_wrong(r#"{"drop": true, "done": true, "methods": ["PUT"], "times": 12}"#, " dropped").await;
}

/// A server that refuses everything for a while, and is slow after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_outlives_a_server_that_refuses_and_is_slow() {
    let Some((server, url)) = server().await else { return };
    let Some(mut scene) = Scene::start(&url).await else { return };
    for point in POINTS {
        let refused = wrong(&server, " 503") + 60;
        scene.renew_disturbed(point, async || server.fail(r#"{"status": 503, "code": "SlowDown", "times": 60}"#)).await;
        let all_refused = || async { (wrong(&server, " 503") >= refused).then_some(()) };
        certfleet_testkit::eventually("it refused", std::time::Duration::from_secs(120), all_refused).await;
        server.fail(r#"{"delay_ms": 300, "times": 100}"#);
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}
