use super::*;
use crate::ca::{CaError, OrderStatus, OrderView, Problem};
use crate::decide::decide;
use crate::envelope::{Envelope, Expect, Nonce};
use crate::key::RecordKey;
use crate::records::{CertRecord, Step, TargetState};
use crate::samples::{at, attempt, cert, mono, name, placed, presence, record, seen, signing_key, view};
use crate::time::Now;

/// Applies a record as if it had just been read; the nonce tells one writing from another.
fn put<T: serde::Serialize>(view: &mut View, key: RecordKey, value: &T, nonce: u8, now: u64) {
    let nonce = Nonce::from_random([nonce; 16]);
    let writer = match &key {
        RecordKey::Presence(node) => node.clone(),
        _ => name("b"),
    };
    let change = view.accepted.get(&key.key()).map_or(1, |accepted| accepted.revision.change + u64::from(accepted.revision.nonce != nonce));
    let envelope = Envelope { change, ..Envelope::new(writer.clone(), nonce, value).expect("wraps") };
    let envelope = envelope.signed(&name("f"), &key.key(), &signing_key(writer.as_str()));
    view.apply(&key.key(), Some((&envelope, &envelope.revision("1"))), mono(now));
}

fn call(view: &mut View, reply: Result<CaReply, CaError>, now: Now) {
    view.absorb(&Subject::Cert(cert()), Outcome::Called(cert(), Generation(1), name("ca"), reply), now);
}

fn order(status: OrderStatus) -> CaReply {
    let url = "o".to_owned();
    CaReply::Order(OrderView { url, status, authorizations: Vec::new(), error: None, expires: None, retry_after: None })
}

fn drive(view: &View) -> &Drive {
    &view.local.drives[&(cert(), Generation(1))]
}

#[test]
fn only_a_change_moves_changed_at() {
    let mut view = view();
    let times = |view: &View| (view.certs[&cert()].changed_at, view.certs[&cert()].read_at);
    put(&mut view, RecordKey::Cert(cert()), &record(), 1, 10);
    put(&mut view, RecordKey::Cert(cert()), &record(), 1, 20);
    assert_eq!(times(&view), (mono(10), mono(20)));
    put(&mut view, RecordKey::Cert(cert()), &record(), 2, 30);
    assert_eq!(times(&view), (mono(30), mono(30)), "the same value, written anew");
}

#[test]
fn what_a_newer_version_wrote_changes_nothing_and_is_not_written_over() {
    let mut view = view();
    view.local.beaten_at = Some((mono(0), presence("a", 1)));
    put(&mut view, RecordKey::Cert(cert()), &record(), 1, 10);
    put(&mut view, RecordKey::Cert(cert()), &"garbage", 2, 20);
    assert_eq!(view.certs[&cert()].value, record());
    put(&mut view, RecordKey::Presence(name("a")), &"garbage", 3, 20);
    let plan = decide(&view, at(200), 0);
    let subjects: Vec<_> = plan.actions.iter().map(|(subject, _)| subject).collect();
    assert!(subjects.contains(&&Subject::Presence), "its own word is this node's to write: {subjects:?}");
    assert!(!subjects.iter().any(|subject| matches!(subject, Subject::Cert(_) | Subject::Record(_))), "{subjects:?}");
    assert_eq!(plan.troubles.iter().filter(|why| why.contains("is left alone")).count(), 1, "{:?}", plan.troubles);
    put(&mut view, RecordKey::Cert(cert()), &record(), 4, 30);
    assert!(!view.strays.contains_key(&RecordKey::Cert(cert()).key()));
}

#[test]
fn a_record_that_vanishes_stays_known() {
    let mut view = view();
    put(&mut view, RecordKey::Cert(cert()), &record(), 1, 10);
    view.apply(&RecordKey::Cert(cert()).key(), None, mono(20));
    view.apply(&RecordKey::Presence(name("b")).key(), None, mono(20));
    assert!(view.certs.contains_key(&cert()) && view.strays.contains_key(&RecordKey::Cert(cert()).key()));
    assert!(!view.presence.contains_key(&name::<NodeName>("b")), "presence may vanish");
}

#[test]
fn numbers_seen_in_a_record_are_remembered_though_it_forgets() {
    let mut view = view();
    put(&mut view, RecordKey::Cert(cert()), &CertRecord { last_number: Generation(7), ..record() }, 1, 10);
    put(&mut view, RecordKey::Cert(cert()), &record(), 2, 20);
    assert_eq!(view.local.memory[&cert()].number, Generation(7));
}

#[test]
fn a_clone_is_noticed_and_an_old_presence_is_not_one() {
    let mut view = view();
    let theirs = |beat| Presence { beat, ..presence("a", 2) };
    put(&mut view, RecordKey::Presence(name("a")), &theirs(9), 1, 10);
    assert_eq!(view.local.duplicate, None, "this life has not beaten yet: an earlier one did");
    view.local.beaten_at = Some((mono(11), Presence { beat: 10, ..presence("a", 1) }));
    put(&mut view, RecordKey::Presence(name("a")), &theirs(9), 2, 12);
    assert_eq!(view.local.duplicate, None, "older than our own: a late read or a restored backup");
    put(&mut view, RecordKey::Presence(name("a")), &theirs(11), 3, 13);
    assert_eq!(view.local.duplicate, Some(name("a.2")));
}

#[test]
fn progress_is_forgotten_with_its_attempt() {
    let mut view = view();
    let held = |number| CertRecord { last_number: Generation(number), attempt: Some(attempt(number, "a", Step::Keyed)), ..record() };
    put(&mut view, RecordKey::Cert(cert()), &held(1), 1, 10);
    call(&mut view, Ok(order(OrderStatus::Pending)), at(10));
    put(&mut view, RecordKey::Cert(cert()), &CertRecord { renew_requested_at: Some(at(0).wall), ..held(1) }, 2, 11);
    assert!(drive(&view).order.is_some(), "still ours");
    put(&mut view, RecordKey::Cert(cert()), &CertRecord { attempt: Some(attempt(1, "b", Step::Keyed)), ..held(1) }, 3, 12);
    assert!(view.local.drives.is_empty());
}

#[test]
fn a_ca_out_of_reach_is_barred_longer_and_longer() {
    let mut view = view();
    let spans: Vec<u64> = (0..8)
        .map(|_| {
            call(&mut view, Err(CaError::Unreachable("no".into())), at(100));
            view.local.bars[&name("ca")].until.since(mono(100)).as_secs()
        })
        .collect();
    assert_eq!(spans, [5, 10, 20, 40, 80, 160, 300, 300]);
    call(&mut view, Err(CaError::Refused(Problem::new("malformed", "no", None))), at(100));
    assert!(view.local.bars.is_empty(), "a refusal is an answer");
}

#[test]
fn looks_get_rarer_until_there_is_news() {
    let mut view = view();
    let mut look = |status| {
        call(&mut view, Ok(order(status)), at(100));
        drive(&view).look_at.since(mono(100)).as_millis()
    };
    let spans: Vec<u128> = (0..16).map(|_| look(OrderStatus::Processing)).collect();
    assert!(spans.is_sorted() && spans[0] == 150 && spans[15] == 15_000, "{spans:?}");
    assert_eq!(look(OrderStatus::Valid), 150);
}

#[test]
fn a_retry_after_of_nothing_is_no_loop() {
    let mut view = view();
    let CaReply::Order(shown) = order(OrderStatus::Processing) else { unreachable!("made above") };
    for _ in 0..16 {
        call(&mut view, Ok(CaReply::Order(OrderView { retry_after: Some(std::time::Duration::ZERO), ..shown.clone() })), at(100));
    }
    assert_eq!(drive(&view).look_at.since(mono(100)).as_secs(), 15);
}

#[test]
fn an_answer_clears_the_error_before_it() {
    let mut view = view();
    call(&mut view, Err(CaError::NotFound(Problem::new("", "gone", Some(404)))), at(1));
    assert!(drive(&view).error.is_some());
    call(&mut view, Ok(order(OrderStatus::Processing)), at(2));
    assert_eq!(drive(&view).error, None);
}

#[test]
fn failures_here_pause_only_their_subject() {
    let mut view = view();
    let subject = Subject::Cert(cert());
    let spans: Vec<u128> = (0..12)
        .map(|_| {
            view.absorb(&subject, Outcome::Failed("disk full".into()), at(100));
            view.local.pauses[&subject].until.since(mono(100)).as_millis()
        })
        .collect();
    assert!(spans.is_sorted() && spans[0] == 250 && spans[11] == 60_000, "{spans:?}");
    view.absorb(&subject, Outcome::Done, at(100));
    assert!(view.local.pauses.is_empty());
}

#[test]
fn a_beat_that_was_not_read_is_a_sign_of_life() {
    let mut view = view();
    view.presence.insert(name("b"), seen(presence("b", 1), 0, 0));
    let lives = |view: &View, at: u64| view.is_live(&name("b"), mono(at));
    assert!(lives(&view, 149) && !lives(&view, 150));
    view.heard(&name("b"), mono(120));
    assert!(lives(&view, 269) && !lives(&view, 270));
    assert_eq!(view.presence[&name::<NodeName>("b")].read_at, mono(0), "who judges it reads it first");
    view.heard(&name("unknown"), mono(120));
    assert!(!view.presence.contains_key(&name::<NodeName>("unknown")));
}

#[test]
fn what_could_not_reach_the_store_is_tried_soon_after_it_is_back() {
    let mut view = view();
    let (reached, other) = (Subject::Cert(cert()), Subject::Presence);
    for _ in 0..12 {
        view.absorb(&reached, Outcome::Away("timed out".into()), at(100));
        view.absorb(&other, Outcome::Failed("disk full".into()), at(100));
    }
    view.store_is_back(mono(101));
    assert_eq!(view.local.pauses[&reached].until, mono(106));
    assert_eq!(view.local.pauses[&other].until, mono(160), "another reason may still hold");
    let told = |now: u64| decide(&view, at(now), 0).troubles.iter().cloned().collect::<Vec<_>>().join("; ");
    assert!(told(102).contains("timed out") && !told(107).contains("timed out"), "{}", told(107));
    assert!(told(107).contains("disk full"));
}

#[test]
fn targets_are_tried_again_by_what_they_said() {
    let mut view = view();
    let mut install = |state, settled| {
        let result = InstallResult { cert: cert(), placed: placed(2, 3), state, reason: None, settled, key: KeySeen::Opened };
        view.absorb(&Subject::Target(name("nginx")), Outcome::Installed(name("nginx"), vec![result]), at(100));
        let installed = &view.local.targets[&(cert(), name("nginx"))];
        (installed.next_try.since(mono(100)).as_secs(), view.local.memory.get(&cert()).map(|memory| memory.seen))
    };
    assert_eq!(install(TargetState::Failed, false), (2, None));
    assert_eq!(install(TargetState::Failed, false), (4, None), "a failure is not remembered as served");
    assert_eq!(install(TargetState::Verified, true), (3600, Some((0, 3))));
    assert_eq!(install(TargetState::Installed, false).0, 2);
    assert_eq!((0..9).map(|_| install(TargetState::Installed, false).0).max(), Some(30));
}

#[test]
fn a_number_is_above_record_reports_and_memory() {
    let claimed = |change: &dyn Fn(&mut View)| {
        let mut view = view();
        view.local.beaten_at = Some((mono(0), presence("a", 1)));
        view.presence.retain(|node, _| node.as_str() == "a");
        let mut spec = view.spec.clone();
        let directory = "d".to_owned();
        spec.issuers.insert(name("ca"), crate::spec::IssuerSpec { directory, contact: Vec::new(), agree_tos: true, profile: None });
        view.spec = spec;
        crate::samples::account(&mut view);
        view.certs.insert(cert(), seen(CertRecord { last_number: Generation(3), ..record() }, 0, 0));
        change(&mut view);
        let plan = decide(&view, at(0), 0);
        let made =
            plan.actions.iter().find_map(|(_, action)| if let Action::MakeKey(_, number, _) = action { Some(number.0) } else { None });
        made.unwrap_or_else(|| panic!("makes no key: {plan:?}"))
    };
    assert_eq!(claimed(&|_| ()), 4);
    assert_eq!(claimed(&|view| crate::samples::report(view, "b", placed(6, 6).placement, TargetState::Verified)), 7);
    assert_eq!(claimed(&|view| view.local.memory.entry(cert()).or_default().number = Generation(8)), 9);
}

#[test]
fn a_presence_is_written_first_and_expects_what_stands() {
    let mut view = view();
    view.presence.remove(&name::<NodeName>("a"));
    let plan = decide(&view, at(0), 0);
    let beats = |plan: &Plan| {
        plan.actions.iter().find_map(|(_, action)| if let Action::Beat(_, expect) = action { Some(expect.clone()) } else { None })
    };
    assert_eq!(beats(&plan), Some(Expect::Absent));
    assert!(!plan.actions.iter().any(|(subject, _)| matches!(subject, Subject::Cert(_))), "nothing is claimed before: {plan:?}");
}
