use std::time::Duration;

use super::*;
use crate::names::Generation;
use crate::records::{CertRecord, Step};
use crate::samples::{account, at, attempt, mono, name, placed, presence, record, seen, spec, view};
use crate::spec::{FleetSpec, IssuerSpec};
use crate::time::later;
use crate::view::{MadeKey, Outcome};

fn cert(n: usize) -> CertName {
    format!("c{n:03}.example").parse().expect("name")
}

/// What `a` knows of a fleet of its own, with so many certificates that were never issued.
fn alone(count: usize) -> View {
    let mut view = view();
    view.local.beaten_at = Some((mono(0), presence("a", 1)));
    view.presence.retain(|node, _| node.as_str() == "a");
    let issuer = IssuerSpec { directory: "d".into(), contact: Vec::new(), agree_tos: true, profile: None };
    let certificates = (0..count).map(|n| (cert(n), spec())).collect();
    view.follow(FleetSpec { certificates, issuers: [(name("ca"), issuer)].into(), ..view.spec.clone() });
    account(&mut view);
    view.local.looked_through_at = Some(mono(0));
    for n in 0..count {
        view.local.stood_in.insert((cert(n), name("nginx")));
    }
    view
}

/// Those of which an attempt is begun, with the first word of what is done.
fn begun(actions: &[(Subject, Action)]) -> Vec<CertName> {
    let cert = |action: &Action| match action {
        Action::MakeKey(cert, ..) | Action::Write(cert, ..) => Some(cert.clone()),
        _ => None,
    };
    actions.iter().filter_map(|(_, action)| cert(action)).collect()
}

#[test]
fn a_node_drives_so_many_attempts_and_the_others_after_them() {
    let (mut view, mut decider) = (alone(40), Decider::default());
    let first = begun(&decider.decide_checked(&mut view, at(0), 0));
    assert_eq!(first, (0..ATTEMPTS_AT_ONCE_MAX).map(cert).collect::<Vec<_>>());
    assert_eq!(view.driven(), ATTEMPTS_AT_ONCE_MAX);
    let waits = &decider.plan().waits;
    assert_eq!(waits.get(&cert(39)).map(String::as_str), Some("this node drives 16 other attempts first"));
    assert_eq!(waits.len(), 24, "{waits:?}");
    assert_eq!(begun(&decider.decide_checked(&mut view, at(1), 0)), [], "what is under way counts");

    // A key that was made goes on, and takes nobody's place.
    let made = MadeKey { key: crate::names::SpkiHash::of(b"k"), csr: Vec::new() };
    view.absorb(&Subject::Cert(cert(3)), Outcome::KeyMade(cert(3), Generation(1), made), at(1));
    assert_eq!(begun(&decider.decide_checked(&mut view, at(2), 0)), [cert(3)]);

    // It is this node's, and then it ends: the next begins at once.
    view.certs
        .insert(cert(3), seen(CertRecord { attempt: Some(attempt(1, "a", Step::Keyed)), last_number: Generation(1), ..record() }, 2, 2));
    view.absorb(&Subject::Cert(cert(3)), Outcome::Done, at(2));
    assert_eq!(view.driven(), ATTEMPTS_AT_ONCE_MAX);
    assert!(!begun(&decider.decide_checked(&mut view, at(2), 0)).contains(&cert(16)));
    view.certs.insert(cert(3), seen(CertRecord { placed: Some(placed(1, 1)), last_number: Generation(1), ..record() }, 3, 3));
    assert_eq!(begun(&decider.decide_checked(&mut view, at(3), 0)), [cert(16)]);
}

#[test]
fn what_expires_sooner_goes_first() {
    let (mut view, mut decider) = (alone(40), Decider::default());
    for (n, days) in [(38, 3), (39, 1)] {
        let expiring = crate::records::Placed { not_after: later(at(0).wall, Duration::from_secs(days * 24 * 3600)), ..placed(1, 1) };
        let renewed = CertRecord { placed: Some(expiring), renew_requested_at: Some(at(0).wall), last_number: Generation(1), ..record() };
        view.certs.insert(cert(n), seen(renewed, 0, 0));
    }
    let first = begun(&decider.decide_checked(&mut view, at(0), 0));
    assert!(first.contains(&cert(38)) && first.contains(&cert(39)) && !first.contains(&cert(14)), "{first:?}");
    // Then, of two, the one that has less time left.
    let (mut view, mut decider) = (alone(40), Decider::default());
    view.local.claiming.extend((0..ATTEMPTS_AT_ONCE_MAX - 1).map(cert));
    for (n, days) in [(38, 3), (39, 1)] {
        let expiring = crate::records::Placed { not_after: later(at(0).wall, Duration::from_secs(days * 24 * 3600)), ..placed(1, 1) };
        let renewed = CertRecord { placed: Some(expiring), renew_requested_at: Some(at(0).wall), last_number: Generation(1), ..record() };
        view.certs.insert(cert(n), seen(renewed, 0, 0));
    }
    assert_eq!(begun(&decider.decide_checked(&mut view, at(0), 0)), [cert(39)]);
}

#[test]
fn what_nobody_holds_is_taken_over_within_the_same_bound() {
    let (mut view, mut decider) = (alone(40), Decider::default());
    for n in 0..40 {
        let left = crate::records::Attempt { holder: None, ..attempt(1, "b", Step::Ordered { order: "o".into() }) };
        view.certs.insert(cert(n), seen(CertRecord { attempt: Some(left), last_number: Generation(1), ..record() }, 0, 0));
    }
    assert_eq!(begun(&decider.decide_checked(&mut view, at(0), 0)).len(), ATTEMPTS_AT_ONCE_MAX);
}

/// One that waits for its renewal is looked at when something of its own is touched, and not when another's is.
#[test]
fn only_what_was_touched_is_looked_at() {
    let (mut view, mut decider) = (alone(40), Decider::default());
    for n in 0..40 {
        view.certs.insert(cert(n), seen(CertRecord { placed: Some(placed(1, 1)), last_number: Generation(1), ..record() }, 0, 0));
    }
    let mut look = |view: &mut View, seconds: u64| {
        let changes = view.take_changes();
        let certs = decider.look_at(view, changes, at(seconds), 0);
        decider.settle(view, certs.clone(), at(seconds), 0);
        decider.acted.clear();
        certs.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(look(&mut view, 0).len(), 40, "all are new");
    assert_eq!(look(&mut view, 1), []);
    view.certs.insert(cert(7), seen(CertRecord { placed: Some(placed(1, 1)), last_number: Generation(2), ..record() }, 1, 1));
    assert_eq!(look(&mut view, 2), [cert(7)]);
    view.presence.insert(name("b"), seen(presence("b", 1), 2, 2));
    assert_eq!(look(&mut view, 2), [], "who is live is asked where something is due");
    view.local.lacks.insert(placed(1, 1).key, mono(2));
    assert_eq!(look(&mut view, 2).len(), 40, "all of them have the key in this test");
    assert_eq!(look(&mut view, 61 * 24 * 3600).len(), 40, "all are due");
}
