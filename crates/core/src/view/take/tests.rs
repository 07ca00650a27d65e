mod changes;
mod order;

use serde_json::json;

use super::super::{Me, StoreState};
use super::*;
use crate::decide::{Action, Subject, decide};
use crate::envelope::{Expect, Nonce};
use crate::names::Generation;
use crate::records::{CertRecord, NodeRecord, Removal, TargetState};
use crate::samples::{at, cert, fleet, mono, name, node, placed, presence, record, report, signing_key, view, wall};

/// A value as it would stand in the store.
#[derive(Debug, Clone)]
struct Value {
    key: Key,
    envelope: Envelope,
}

impl Value {
    /// `body` under `key`, as change number `change`, signed by `writer` or, where it is the fleet key's, by that.
    fn new(key: RecordKey, writer: &str, change: u64, body: &impl serde::Serialize) -> Self {
        let signer = if matches!(key, RecordKey::Fleet) { "the fleet" } else { writer };
        Self::signed(key, (writer, signer), change, body)
    }

    fn signed(key: RecordKey, (writer, signer): (&str, &str), change: u64, body: &impl serde::Serialize) -> Self {
        let body = serde_json::to_value(body).expect("serialises");
        let hash = crate::hash::sha256_hex(format!("{key} {writer} {signer} {change} {body}").as_bytes());
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&hash.as_bytes()[..16]);
        let envelope = Envelope { change, ..Envelope::new(name(writer), Nonce::from_random(nonce), &body).expect("wraps") };
        Self { envelope: envelope.signed(&name("f"), &key.key(), &signing_key(signer)), key: key.key() }
    }

    fn member(record: &NodeRecord) -> Self {
        Self::signed(RecordKey::Node(record.name.clone()), (record.name.as_str(), "the fleet"), 1, record)
    }

    fn revision(&self) -> Revision {
        self.envelope.revision(self.envelope.nonce.as_str())
    }

    fn read(&self, view: &mut View, now: u64) -> Taken {
        view.apply(&self.key, Some((&self.envelope, &self.revision())), mono(now))
    }
}

fn of_cert(writer: &str, change: u64, number: u64) -> Value {
    Value::new(RecordKey::Cert(cert()), writer, change, &CertRecord { last_number: Generation(number), ..record() })
}

fn number(view: &View) -> Option<u64> {
    view.certs.get(&cert()).map(|seen| seen.value.last_number.0)
}

fn why(view: &View, key: &RecordKey) -> String {
    view.strays.get(&key.key()).map(|stray| stray.why.clone()).unwrap_or_default()
}

fn removed(node: &str) -> Removal {
    Removal { node: name(node), identity: node.into(), at: wall(), compromised: false }
}

/// A node that has read nothing yet.
fn fresh() -> View {
    let View { me, spec, .. } = view();
    let mut view = View::new(Me { node: name("a"), ..me }, spec);
    view.local.store = StoreState::Ready;
    view
}

#[test]
fn an_older_value_is_a_stray_and_the_latest_stays_known() {
    let mut view = view();
    assert_eq!(of_cert("b", 5, 5).read(&mut view, 1), Taken::New);
    assert_eq!(of_cert("b", 4, 4).read(&mut view, 2), Taken::Not);
    assert_eq!(number(&view), Some(5));
    assert!(why(&view, &RecordKey::Cert(cert())).contains("change 4, 5 was seen"));
    assert_eq!(of_cert("b", 5, 5).read(&mut view, 3), Taken::Known);
    assert!(view.strays.is_empty(), "it stands again");
    assert_eq!(of_cert("c", 6, 6).read(&mut view, 4), Taken::New);
    assert_eq!(number(&view), Some(6));
}

#[test]
fn what_stands_nowhere_else_may_start_anew() {
    let mut view = view();
    let beat = |change| Value::new(RecordKey::Presence(name("b")), "b", change, &presence("b", 1));
    assert_eq!([beat(9).read(&mut view, 1), beat(1).read(&mut view, 2)], [Taken::New, Taken::New], "presence is no record of what was");
}

#[test]
fn a_raised_epoch_lets_older_values_count() {
    let mut view = view();
    of_cert("b", 5, 5).read(&mut view, 1);
    Value::new(RecordKey::Fleet, "a", 2, &fleet()).read(&mut view, 1);
    of_cert("b", 4, 4).read(&mut view, 2);
    let by_nobody = Value::signed(RecordKey::Fleet, ("a", "a"), 1, &FleetRecord { epoch: 1, ..fleet() });
    assert_eq!(by_nobody.read(&mut view, 3), Taken::Not);
    assert_eq!(number(&view), Some(5), "the epoch is raised by the fleet key alone");
    let raised = Value::new(RecordKey::Fleet, "a", 1, &FleetRecord { epoch: 1, ..fleet() });
    assert_eq!(raised.read(&mut view, 4), Taken::New, "though its change is lower: the backup's");
    assert_eq!(number(&view), Some(4), "what stood there is looked at again");
    assert!(view.strays.is_empty(), "{:?}", view.strays);
    assert_eq!(of_cert("b", 3, 3).read(&mut view, 5), Taken::Not, "from here on it rises again");
}

#[test]
fn the_fleet_record_never_says_less() {
    let before = FleetRecord { epoch: 2, removals: vec![removed("x"), removed("y")], ..fleet() };
    let cases: [(&str, FleetRecord); 4] = [
        ("another fleet", FleetRecord { id: name("g"), ..before.clone() }),
        ("its epoch is 1", FleetRecord { epoch: 1, ..before.clone() }),
        ("it forgets that node y", FleetRecord { removals: vec![removed("x")], ..before.clone() }),
        ("it forgets that node x", FleetRecord { epoch: 3, removals: vec![removed("y"), removed("z")], ..before.clone() }),
    ];
    for (what, after) in cases {
        let mut view = view();
        assert_eq!(Value::new(RecordKey::Fleet, "a", 1, &before).read(&mut view, 1), Taken::New);
        assert_eq!(Value::new(RecordKey::Fleet, "a", 9, &after).read(&mut view, 2), Taken::Not, "{what}");
        assert!(why(&view, &RecordKey::Fleet).contains(what), "{what}: {}", why(&view, &RecordKey::Fleet));
        assert_eq!(view.fleet.as_ref(), Some(&before));
    }
}

#[test]
fn a_removal_counts_whatever_its_change() {
    let mut view = view();
    Value::new(RecordKey::Fleet, "a", 5, &fleet()).read(&mut view, 1);
    let says = |removals: Vec<Removal>| Value::new(RecordKey::Fleet, "a", 1, &FleetRecord { removals, ..fleet() });
    let stolen = Removal { compromised: true, ..removed("x") };
    assert_eq!(says(vec![]).read(&mut view, 2), Taken::Not, "it says no more");
    assert_eq!(says(vec![removed("x")]).read(&mut view, 3), Taken::New);
    assert_eq!(says(vec![stolen.clone()]).read(&mut view, 4), Taken::New, "its keys are stolen: that is news");
    assert_eq!(says(vec![removed("x")]).read(&mut view, 5), Taken::Not);
    let by_nobody = Value::signed(RecordKey::Fleet, ("a", "a"), 9, &FleetRecord { removals: vec![stolen, removed("b")], ..fleet() });
    assert_eq!(by_nobody.read(&mut view, 6), Taken::Not);
}

#[test]
fn of_two_that_are_put_back_as_they_were_all_nodes_keep_the_same() {
    let removal = |at: u64| Removal { at: crate::time::later(wall(), std::time::Duration::from_secs(at)), ..removed("x") };
    let [one, other] = [1, 2].map(|at| Value::new(RecordKey::Fleet, "a", 2, &FleetRecord { removals: vec![removal(at)], ..fleet() }));
    let kept = |values: [&Value; 2]| {
        let mut view = view();
        values.iter().for_each(|value| _ = value.read(&mut view, 1));
        view.fleet
    };
    assert_eq!(kept([&one, &other]), kept([&other, &one]));
    let first_of = |numbers: [u64; 2]| {
        let mut view = view();
        numbers.map(|number| of_cert("b", 2, number).read(&mut view, 1))
    };
    assert_eq!([first_of([1, 2]), first_of([2, 1])], [[Taken::New, Taken::Not]; 2], "it is written anew");
}

#[test]
fn a_value_counts_once_its_writer_is_known() {
    let mut view = fresh();
    assert_eq!(of_cert("b", 1, 1).read(&mut view, 1), Taken::Not);
    assert!(why(&view, &RecordKey::Cert(cert())).contains("it is not") || !view.strays.is_empty());
    Value::member(&node("b")).read(&mut view, 2);
    assert_eq!(number(&view), None, "a member of which fleet?");
    Value::new(RecordKey::Fleet, "a", 1, &fleet()).read(&mut view, 3);
    assert_eq!(number(&view), Some(1));
    assert!(view.strays.is_empty());
}

#[test]
fn what_a_removed_member_said_of_itself_is_forgotten() {
    let mut view = view();
    of_cert("b", 1, 1).read(&mut view, 1);
    Value::new(RecordKey::Presence(name("b")), "b", 1, &presence("b", 1)).read(&mut view, 1);
    let said = Value::new(RecordKey::Report(cert(), name("b"), name("nginx")), "b", 1, &a_report());
    said.read(&mut view, 1);
    Value::new(RecordKey::Fleet, "a", 2, &FleetRecord { removals: vec![removed("b")], ..fleet() }).read(&mut view, 2);
    assert!(!view.presence.contains_key(&name::<NodeName>("b")) && view.reports[&cert()].is_empty());
    assert_eq!(number(&view), Some(1), "what it wrote of certificates stays known, to be written anew");
    assert_eq!(said.read(&mut view, 3), Taken::Not);
}

fn a_report() -> crate::records::Report {
    let mut view = view();
    report(&mut view, "b", placed(1, 1).placement, TargetState::Verified);
    view.reports[&cert()][&(name("b"), name("nginx"))].value.clone()
}

/// What this node does about the certificate's record, a while later.
fn remedy(view: &mut View, now: u64) -> Option<Action> {
    view.local.beaten_at = Some((mono(now), presence("a", 1)));
    view.presence.retain(|node, _| node.as_str() == "a");
    view.local.pauses.clear();
    let subject = Subject::Record(RecordKey::Cert(cert()).key());
    decide(view, at(now), 0).actions.into_iter().find(|(other, _)| *other == subject).map(|(_, action)| action)
}

#[test]
fn what_a_replaced_machine_wrote_is_vouched_for_again() {
    let mut view = view();
    of_cert("b", 1, 1).read(&mut view, 1);
    let rebuilt = NodeRecord { identity: "b again".into(), signing_key: signing_key("b again").verifying_key(), ..node("b") };
    Value::new(RecordKey::Fleet, "a", 2, &FleetRecord { removals: vec![removed("b")], ..fleet() }).read(&mut view, 2);
    Value::signed(RecordKey::Node(name("b")), ("a", "the fleet"), 2, &rebuilt).read(&mut view, 2);
    let action = remedy(&mut view, 10);
    assert!(matches!(&action, Some(Action::Record(_, _, Expect::Revision(base), _)) if base.change == 1), "{action:?}");
}

#[test]
fn what_was_recalled_stands_though_its_writer_is_gone() {
    let mut view = fresh();
    let value = of_cert("b", 3, 3);
    assert_eq!(view.recall(&value.key, &value.envelope, mono(1)), Taken::New);
    let old_beat = Value::new(RecordKey::Presence(name("b")), "b", 1, &presence("b", 1));
    assert_eq!(view.recall(&old_beat.key, &old_beat.envelope, mono(1)), Taken::Not, "only what is never removed");
    Value::member(&node("a")).read(&mut view, 2);
    Value::new(RecordKey::Fleet, "a", 1, &FleetRecord { removals: vec![removed("b")], ..fleet() }).read(&mut view, 2);
    assert_eq!(value.read(&mut view, 3), Taken::Not, "its writer was removed");
    assert_eq!(number(&view), Some(3));
    let late = |now| remedy(&mut view.clone(), now);
    assert!(matches!(late(10), Some(Action::Reread(..))), "{:?}", late(10));
    value.read(&mut view, 11);
    assert_eq!(remedy(&mut view, 11), None, "those who have seen it in this life go first");
    let action = remedy(&mut view, 15);
    assert!(matches!(&action, Some(Action::Record(_, _, Expect::Revision(base), _)) if base.change == 3), "{action:?}");
}

#[test]
fn what_was_recalled_and_is_gone_is_put_right() {
    let mut view = fresh();
    for value in [Value::member(&node("a")), Value::new(RecordKey::Fleet, "a", 1, &fleet()), of_cert("a", 3, 3)] {
        assert_eq!(view.recall(&value.key, &value.envelope, mono(1)), Taken::New);
    }
    [Value::member(&node("a")), Value::new(RecordKey::Fleet, "a", 1, &fleet())].iter().for_each(|value| _ = value.read(&mut view, 2));
    assert_eq!(of_cert("a", 2, 2).read(&mut view, 2), Taken::Not, "last month's record");
    view.apply(&RecordKey::Cert(cert()).key(), None, mono(3));
    assert_eq!((number(&view), why(&view, &RecordKey::Cert(cert())).contains("gone")), (Some(3), true));
    assert_eq!(view.base(&RecordKey::Cert(cert()).key()), Expect::Absent);
    view.apply(&RecordKey::Cert(cert()).key(), None, mono(9));
    assert!(matches!(remedy(&mut view, 15), Some(Action::Record(_, _, Expect::Absent, 3))));
}

#[test]
fn a_newer_versions_body_is_left_alone() {
    let mut view = view();
    of_cert("b", 1, 1).read(&mut view, 1);
    assert_eq!(Value::new(RecordKey::Cert(cert()), "b", 2, &json!({"later": true})).read(&mut view, 2), Taken::Not);
    assert_eq!((number(&view), remedy(&mut view, 60)), (Some(1), None));
    assert_eq!(Value::signed(RecordKey::Cert(cert()), ("b", "x"), 2, &json!({"later": true})).read(&mut view, 61), Taken::Not);
    assert!(matches!(remedy(&mut view, 70), Some(Action::Reread(..))), "nobody who may wrote that");
}

#[test]
fn what_stands_under_its_own_names_is_written_over() {
    let mut view = view();
    view.local.beaten_at = Some((mono(9), presence("a", 1)));
    let own = [RecordKey::Presence(name("a")), RecordKey::Report(cert(), name("a"), name("nginx"))];
    view.local.targets.insert((cert(), name("nginx")), installed());
    view.certs.insert(cert(), crate::samples::seen(CertRecord { placed: Some(placed(1, 1)), ..record() }, 1, 1));
    for key in &own {
        Value::signed(key.clone(), ("b", "b"), u64::MAX, &json!("garbage")).read(&mut view, 10);
    }
    let plan = decide(&view, at(10), 0);
    let bases = plan.actions.iter().filter_map(|(_, action)| match action {
        Action::Beat(_, base) | Action::Report(.., base) => Some(base.clone()),
        _ => None,
    });
    let bases: Vec<Expect> = bases.collect();
    assert_eq!(bases.len(), 2, "{plan:?}");
    let over_garbage = |base: &Expect| matches!(base, Expect::Revision(revision) if revision.change <= STRAY_CHANGE_MAX);
    assert!(bases.iter().all(over_garbage), "{bases:?}");
}

fn installed() -> super::super::Installed {
    let placed = placed(1, 1);
    super::super::Installed {
        placement: placed.placement,
        state: TargetState::Verified,
        reason: None,
        next_try: mono(3600),
        fails: 0,
        not_after: placed.not_after,
        life: std::time::Duration::from_secs(90 * 24 * 3600),
    }
}

#[test]
fn garbage_over_a_presence_is_a_look_at_it() {
    let mut view = view();
    let key = RecordKey::Presence(name("b"));
    Value::new(key.clone(), "b", 1, &presence("b", 1)).read(&mut view, 1);
    Value::signed(key, ("b", "x"), 2, &json!("garbage")).read(&mut view, 9);
    let seen = &view.presence[&name::<NodeName>("b")];
    assert_eq!((seen.changed_at, seen.read_at), (mono(1), mono(9)), "or it would be read again for ever, before b is judged gone");
}
