//! A CA, a name with three addresses, a configuration file.

use std::path::Path;

use certfleet_testkit::pebble::{Pebble, PebbleOptions};

use crate::client::Visitor;
use crate::failure::{Failure, unseen};
use crate::fleet::Certfleet;
use crate::lab::{ADDRESSES, Lab, NAME};
use crate::screen::{Screen, Who};
use crate::stage::Stage;

/// The CA waits up to a second less than this before each check, so that an order has a middle.
const CHECK_SLEEP_SECONDS: u32 = 4;

/// How long its certificates are valid: 90 days.
const CERTIFICATE_SECONDS: u64 = 90 * 86_400;

pub async fn play(screen: Screen, dir: &Path) -> Result<Stage, Failure> {
    screen.part(
        "certfleet demo: three servers, one name, one certificate, whichever of them dies",
        "Everything is real and on this machine: a certificate authority, its DNS, three certfleet nodes n1, n2, n3, each on an address of \
         its own and with a web server in front. They share one directory and one configuration file, nothing else.",
    ).await;
    let certfleet = Certfleet::find()?;
    let lab = Lab::prepare(dir)?;
    let mut options = PebbleOptions::new(lab.http_port());
    options.dir = Some(dir.join("ca"));
    options.authz_reuse_percent = 0;
    options.certificate_validity_seconds = Some(CERTIFICATE_SECONDS);
    options.va_sleep_seconds = Some(CHECK_SLEEP_SECONDS);
    let Some(ca) = Pebble::start(options).await else {
        return unseen("pebble is not installed: `make demo` installs it, or `apt-get install pebble`");
    };
    screen.say(Who::Ca, &format!("pebble, a real ACME CA, is up: {}", ca.directory_url()));
    let root = ca.issuing_root().await;
    lab.configure(&ca)?;
    let visitor = Visitor::trusting(&root)?;
    let mut stage = Stage::new(screen, lab, certfleet, ca, visitor);
    stage.write_root(&root)?;
    stage.point_dns_at(0).await;
    let [a, b, c] = ADDRESSES;
    stage.screen.say(Who::Dns, &format!("{NAME} has three addresses: {a} (n1), {b} (n2), {c} (n3)"));
    stage.screen.say(Who::Demo, &format!("the configuration of all three nodes: {}", stage.lab.config().display()));
    Ok(stage)
}
