//! In whatever order a fleet's records are read, the same ones count.

use proptest::prelude::*;

use super::{Value, fresh, of_cert, removed};
use crate::key::RecordKey;
use crate::names::NodeName;
use crate::records::{FleetRecord, NodeRecord};
use crate::samples::{comes_with, fleet, grant, name, node, presence, record};
use crate::spec::{Role, all_roles};

/// A whole fleet's records: two members by the fleet key, one by invitation, one removed, and what they wrote.
fn all_values() -> Vec<Value> {
    let web = comes_with(&grant("web-*", [Role::Deploy].into()), "web-1");
    let stranger = NodeRecord { granted: all_roles(), ..node("stranger") };
    vec![
        Value::new(RecordKey::Fleet, "a", 3, &FleetRecord { removals: vec![removed("x")], ..fleet() }),
        Value::member(&node("a")),
        Value::member(&node("b")),
        Value::member(&node("x")),
        Value::new(RecordKey::Node(name("web-1")), "b", 1, &web),
        Value::new(RecordKey::Node(name("stranger")), "stranger", 1, &stranger),
        of_cert("b", 7, 7),
        Value::new(RecordKey::Cert(name("other")), "x", 1, &record()),
        Value::new(RecordKey::Cert(name("third")), "web-1", 1, &record()),
        Value::new(RecordKey::Cert(name("fourth")), "stranger", 1, &record()),
        Value::new(RecordKey::Presence(name("web-1")), "web-1", 1, &presence("web-1", 1)),
        Value::new(RecordKey::Presence(name("x")), "x", 1, &presence("x", 1)),
        Value::new(RecordKey::Presence(name("a")), "b", 1, &presence("a", 1)),
        Value::new(RecordKey::Joining(name("web-2")), "web-2", 1, &comes_with(&grant("web-*", [Role::Deploy].into()), "web-2")),
    ]
}

/// What a node knows after all of them were read once.
fn known(values: &[Value]) -> (crate::trust::Roster, Vec<String>, Vec<String>) {
    let mut view = fresh();
    values.iter().for_each(|value| _ = value.read(&mut view, 1));
    let lists = [
        view.nodes.keys().map(|n| format!("node {n}")).collect::<Vec<_>>(),
        view.certs.keys().map(|n| format!("cert {n}")).collect(),
        view.presence.keys().map(|n| format!("presence {n}")).collect(),
        view.joining.keys().map(|n| format!("joining {n}")).collect(),
    ];
    (crate::trust::Roster::clone(&view.roster), lists.concat(), view.strays.keys().map(ToString::to_string).collect())
}

#[test]
fn all_that_counts_is_known_and_nothing_else() {
    let (roster, lists, strays) = known(&all_values());
    assert_eq!(roster.members.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["a", "b", "web-1"]);
    let wanted = ["node a", "node b", "node web-1", "node x", "cert example.com", "presence web-1", "joining web-2"];
    assert_eq!(lists, wanted);
    assert_eq!(strays, ["certs/fourth", "certs/other", "certs/third", "nodes/stranger", "presence/a", "presence/x"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_does_not_matter(values in Just(all_values()).prop_shuffle()) {
        prop_assert_eq!(known(&values), known(&all_values()));
    }
}
