use super::*;
use crate::key::Key;
use crate::names::Generation;
use crate::records::FleetRecord;
use crate::samples::{comes_with, grant, name, record, signing_key, view};
use crate::spec::all_roles;

fn sight(roles: impl Into<Roles>) -> Sight {
    let of = |cert: &str| name::<CertName>(cert);
    Sight { node: name("a"), granted: roles.into(), certs: [of("here")].into(), keys: [SpkiHash::of(b"here")].into() }
}

/// One of each kind: those that are the reader's, or of what is placed on it, and those that are not.
fn keys() -> Vec<(&'static str, RecordKey)> {
    let (a, b, here, away) = (name::<NodeName>("a"), name::<NodeName>("b"), name::<CertName>("here"), name::<CertName>("away"));
    let (key_here, key_away) = (SpkiHash::of(b"here"), SpkiHash::of(b"away"));
    vec![
        ("fleet", RecordKey::Fleet),
        ("node", RecordKey::Node(b.clone())),
        ("presence", RecordKey::Presence(b.clone())),
        ("joining own", RecordKey::Joining(a.clone())),
        ("joining", RecordKey::Joining(b.clone())),
        ("invitation", RecordKey::Invitation(name("01"))),
        ("account key", RecordKey::AccountKey),
        ("account", RecordKey::Account(name("ca"))),
        ("cert here", RecordKey::Cert(here.clone())),
        ("cert away", RecordKey::Cert(away.clone())),
        ("request own", RecordKey::Request(away.clone(), a.clone())),
        ("request here", RecordKey::Request(here.clone(), b.clone())),
        ("request away", RecordKey::Request(away.clone(), b.clone())),
        ("report own", RecordKey::Report(away.clone(), a.clone(), name("t"))),
        ("report here", RecordKey::Report(here.clone(), b.clone(), name("t"))),
        ("report away", RecordKey::Report(away.clone(), b.clone(), name("t"))),
        ("version here", RecordKey::Version(here, Generation(1))),
        ("version away", RecordKey::Version(away, Generation(1))),
        ("key here", RecordKey::PrivateKey(key_here.clone())),
        ("key away", RecordKey::PrivateKey(key_away.clone())),
        ("wrap own", RecordKey::Wrap(key_away.clone(), a)),
        ("wrap here", RecordKey::Wrap(key_here, b.clone())),
        ("wrap away", RecordKey::Wrap(key_away, b)),
    ]
}

fn shown(sight: &Sight) -> Vec<&'static str> {
    keys().into_iter().filter(|(_, key)| sight.shows(key)).map(|(what, _)| what).collect()
}

const ALL: [&str; 3] = ["fleet", "node", "presence"];
const OWN: [&str; 4] = ["joining own", "request own", "report own", "wrap own"];
const HERE: [&str; 6] = ["cert here", "request here", "report here", "version here", "key here", "wrap here"];

fn sorted(parts: &[&[&'static str]]) -> Vec<&'static str> {
    let mut all: Vec<_> = parts.concat();
    all.sort_unstable();
    all
}

#[test]
fn who_sees_what() {
    let seen = |sight: Sight| sorted(&[&shown(&sight)]);
    assert_eq!(seen(sight([Role::Issue])).len(), keys().len(), "who issues sees everything");
    assert_eq!(seen(sight([Role::Deploy])), sorted(&[&ALL, &OWN, &HERE]));
    let unplaced = |role| Sight { certs: Default::default(), keys: Default::default(), ..sight([role]) };
    assert_eq!(seen(unplaced(Role::Deploy)), sorted(&[&ALL, &OWN]));
    let answers = ["account key", "account", "cert here", "cert away"];
    assert_eq!(seen(unplaced(Role::Answer)), sorted(&[&ALL, &OWN, &answers]));
}

fn signed(key: &Key, writer: &str, by: &str, value: &impl serde::Serialize) -> Envelope {
    let nonce = crate::envelope::Nonce::from_random([1; 16]);
    Envelope::new(name(writer), nonce, value).expect("wraps").signed(&name("f"), key, &signing_key(by))
}

/// A roster with these roles for `a`; the others do everything.
fn roster(granted: impl Into<Roles>) -> Roster {
    let mut roster = Roster::clone(&view().roster);
    roster.members.get_mut(&name::<NodeName>("a")).expect("a member").granted = granted.into();
    roster
}

#[test]
fn a_member_brings_its_own_records_and_those_that_are_put_back() {
    let worker = sight([Role::Deploy]);
    let put = |sight: &Sight, key: RecordKey, writer: &str, by: &str, value: &serde_json::Value| {
        sight.may_put(&roster(sight.granted.clone()), &key, &signed(&key.key(), writer, by, value))
    };
    let (value, report) = (serde_json::json!({}), |node: &str| RecordKey::Report(name("here"), name(node), name("t")));
    assert_eq!(put(&worker, report("a"), "a", "a", &value), Ok(()));
    assert_eq!(put(&worker, report("b"), "b", "b", &value), Err(Refused::Foreign(name("b"))), "it counts, and is no business of a");
    assert!(matches!(put(&worker, report("b"), "a", "a", &value), Err(Refused::Distrusted(Distrust::MayNot(_)))));
    assert!(matches!(put(&worker, report("a"), "a", "b", &value), Err(Refused::Distrusted(Distrust::Signature(_)))));
    assert!(matches!(put(&worker, RecordKey::Cert(name("here")), "a", "a", &value), Err(Refused::Distrusted(Distrust::MayNot(_)))));
    let key = |bytes: &[u8]| RecordKey::PrivateKey(SpkiHash::of(bytes));
    assert_eq!(put(&worker, key(b"here"), "a", "a", &value), Ok(()));
    assert_eq!(put(&worker, key(b"away"), "a", "a", &value), Err(Refused::Elsewhere(name("a"))));
    let chain = |cert: &str| RecordKey::Version(name(cert), Generation(1));
    assert_eq!(put(&worker, chain("here"), "b", "b", &value), Ok(()), "one that the store lost, as it was");
    assert_eq!(put(&worker, chain("away"), "b", "b", &value), Err(Refused::Elsewhere(name("a"))));
    assert!(matches!(put(&worker, chain("here"), "a", "a", &value), Err(Refused::Distrusted(Distrust::MayNot(_)))));
    let fleet: FleetRecord = view().fleet.expect("there is one");
    let fleet = serde_json::to_value(fleet).expect("JSON");
    assert_eq!(put(&worker, RecordKey::Fleet, "b", "the fleet", &fleet), Ok(()), "as it was, word for word");
    assert!(matches!(put(&worker, RecordKey::Fleet, "a", "a", &fleet), Err(Refused::Distrusted(Distrust::FleetKey))));
    let issuer = sight(all_roles());
    let cert = serde_json::to_value(record()).expect("JSON");
    assert_eq!(put(&issuer, RecordKey::Cert(name("away")), "b", "b", &cert), Ok(()), "who issues puts others' records back");
    assert!(put(&issuer, RecordKey::Cert(name("away")), "x", "x", &cert).is_err());
}

#[test]
fn a_machine_that_asks_counts_by_its_token() {
    let machine = comes_with(&grant("d", [Role::Deploy].into()), "d");
    let key = RecordKey::Joining(name("d"));
    let envelope = signed(&key.key(), "d", "d", &machine);
    assert_eq!(sight(all_roles()).may_put(&roster(all_roles()), &key, &envelope), Ok(()));
}

#[test]
fn nothing_that_is_kept_is_removed_and_the_rest_by_who_writes_it() {
    for roles in [all_roles(), [Role::Deploy].into(), [Role::Answer].into()] {
        let sight = sight(roles);
        for (what, key) in keys() {
            let removed = sight.may_remove(&key);
            assert_eq!(removed == Err(Refused::Kept), is_kept(&key), "{what}");
            assert!(removed.is_err() || sight.shows(&key), "{what}");
        }
    }
    let removable = |roles: Roles| -> Vec<&str> {
        let sight = sight(roles);
        keys().into_iter().filter(|(_, key)| sight.may_remove(key).is_ok()).map(|(what, _)| what).collect()
    };
    assert_eq!(removable([Role::Deploy].into()), ["joining own", "request own", "report own", "key here", "wrap own", "wrap here"]);
    assert_eq!(removable([Role::Answer].into()), ["joining own"]);
    let collected = removable([Role::Issue].into());
    assert!(["joining", "key away", "wrap away", "version away"].iter().all(|what| collected.contains(what)), "{collected:?}");
}
