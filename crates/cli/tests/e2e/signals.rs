//! SIGHUP; SIGTERM is in `takeover`.

use rustix::process::Signal;

use crate::fleet::{Certificate, Fleet};

const NAME: &str = "signal.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_is_read_and_a_bad_one_refused() {
    const MORE: &str = "more.example.com";
    let Some(mut fleet) = Fleet::plain(1, NAME).await else { return };
    fleet.start(1);
    fleet.all_have(NAME, 1, 1).await;

    std::fs::write(fleet.config_path(), "[fleet]\nnaem = \"lab\"\n").expect("writes");
    fleet.signal(1, Signal::HUP);
    let refusal = fleet.tells(1, "reload-refused").await;
    assert!(refusal["error"].as_str().is_some_and(|text| text.contains("naem")), "{refusal}");
    fleet.certificate(1, NAME).await.expect("the old one is kept");
    assert!(fleet.told(1, "reloaded").is_empty());

    fleet.lab.resolve(MORE, 1).await;
    fleet.config.certificates.push(Certificate::plain(MORE));
    fleet.write_config();
    fleet.signal(1, Signal::HUP);
    fleet.all_have(MORE, 1, 2).await;
    assert!(fleet.ended(1).is_none(), "it runs on");

    let (took, status) = fleet.stop(1);
    assert!(took.as_secs_f64() < 2.0 && status.success(), "gone after {took:?} with {status}");
}
