//! How much a certificate takes in the store. Nothing here depends on a time.

mod placed;

use certfleet_core::records::PrivateKeyRecord;
use certfleet_core::spec::KeyType;

use placed::{NODES, Scene, Written};

/// A certificate that is placed on so many nodes takes less than this.
const CERTIFICATE_BYTES_MAX: usize = 256 << 10;
/// What a node adds in a record of its own takes less than this.
const OWN_BYTES_MAX: usize = 1 << 10;

#[test]
fn a_certificate_on_a_thousand_nodes_is_small_in_the_store() {
    let scene = Scene::new(NODES, KeyType::Rsa4096);
    let key = scene.key();
    let sealed = key.envelope.record::<PrivateKeyRecord>().expect("it is a key").key;
    assert_eq!(sealed.wraps.len(), NODES);
    let wrap = sealed.wraps[scene.pen.node()].clone();

    let own = [scene.report(), scene.wrap(wrap)];
    let all = [scene.record(), key, scene.version()];
    let sizes = |written: &[Written]| written.iter().map(Written::bytes).collect::<Vec<_>>();
    assert!(sizes(&all).iter().sum::<usize>() < CERTIFICATE_BYTES_MAX, "record, key, version: {:?} bytes", sizes(&all));
    assert!(sizes(&own).iter().all(|bytes| *bytes < OWN_BYTES_MAX), "report, wrap: {:?} bytes", sizes(&own));

    // What was measured is what nodes accept.
    let public = scene.identity.signing_key.verifying_key();
    for Written { key, envelope } in all.iter().chain(&own) {
        assert!(envelope.is_signed_by(&scene.identity.fleet, &key.key(), [&public]), "{key} is not signed");
    }
}
