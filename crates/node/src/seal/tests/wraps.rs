//! Wraps: for one node and no other, made later, passed on, healed.

use super::*;

#[test]
fn wraps_cannot_change_places() {
    let fleet = Fleet::of(&["web-1", "web-2"]);
    let (one, two) = (fleet.seal(&["web-1", "web-2"]), fleet.seal(&["web-1", "web-2"]));
    let mut between_nodes = one.clone();
    between_nodes.wraps.insert(node("web-1"), one.wraps[&node("web-2")].clone());
    assert_eq!(fleet.open(&between_nodes, None, "web-1"), Err(broken("web-1", WhichWrap::First)));
    // Same node and context, so the wrap opens; but each secret has a pair of its own.
    let between_secrets = Sealed { wraps: two.wraps.clone(), ..one.clone() };
    assert_eq!(fleet.open(&between_secrets, None, "web-1"), Err(unsealable("web-1")));
    let other_spki = spki("b");
    let elsewhere = Context { spki: &other_spki, ..fleet.context() };
    let other = seal(&secret(), &elsewhere, fleet.readers(&["web-1"])).expect("seals").sealed;
    let from_another_key = Sealed { wraps: other.wraps, ..one };
    assert_eq!(fleet.open(&from_another_key, None, "web-1"), Err(broken("web-1", WhichWrap::First)));
}

#[test]
fn a_late_node_gets_a_wrap_that_only_it_can_open() {
    let fleet = Fleet::of(&["web-1", "late", "db-1"]);
    let sealed = fleet.seal(&["web-1"]);
    let wrap = fleet.wrap_for(&sealed, "web-1", "late").expect("wraps");
    assert_eq!(fleet.open(&sealed, Some(&wrap), "late"), Ok(secret()));
    assert_eq!(fleet.open(&sealed, Some(&wrap), "db-1"), Err(broken("db-1", WhichWrap::Later)));
    assert_eq!(fleet.open(&sealed, Some(&wrap), "web-1"), Ok(secret()), "its own wrap comes first");
    let other = Sealed { wraps: BTreeMap::new(), ..sealed.clone() };
    assert_eq!(fleet.open(&other, Some(&wrap), "web-1"), Err(broken("web-1", WhichWrap::Later)));
    let refused = fleet.wrap_for(&sealed, "db-1", "late").expect_err("not a reader");
    assert!(matches!(refused, WrapForError::Open(OpenError::NotAReader { node: name, .. }) if name == node("db-1")));
}

#[test]
fn who_has_a_later_wrap_can_wrap_it_on() {
    let fleet = Fleet::of(&["web-1", "late", "later"]);
    let sealed = fleet.seal(&["web-1"]);
    let first = fleet.wrap_for(&sealed, "web-1", "late").expect("wraps");
    let (name, (_, key)) = fleet.nodes.get_key_value(&node("later")).expect("a member");
    let me = (&node("late"), fleet.key("late"));
    let second = wrap_for(&sealed, Some(&first), &fleet.context(), me, (name, key)).expect("wraps");
    assert_eq!(fleet.open(&sealed, Some(&second), "later"), Ok(secret()));
}

#[test]
fn a_later_wrap_heals_what_was_broken() {
    let fleet = Fleet::of(&["web-1", "web-2"]);
    let sealed = fleet.seal(&["web-1", "web-2"]);
    let healing = fleet.wrap_for(&sealed, "web-2", "web-1").expect("wraps");
    let decoy = fleet.seal(&["web-1"]).wraps[&node("web-1")].clone();
    for bad in [Wrap(vec![]), Wrap(vec![7; 80]), decoy.clone()] {
        let mut hurt = sealed.clone();
        hurt.wraps.insert(node("web-1"), bad.clone());
        assert_eq!(fleet.open(&hurt, Some(&healing), "web-1"), Ok(secret()));
        assert_eq!(fleet.open(&sealed, Some(&bad), "web-1"), Ok(secret()), "a bad later wrap does no harm");
    }
    let mut hurt = sealed;
    hurt.wraps.insert(node("web-1"), Wrap(vec![7; 80]));
    assert_eq!(fleet.open(&hurt, Some(&Wrap(vec![8; 80])), "web-1"), Err(broken("web-1", WhichWrap::Both)));
    assert_eq!(fleet.open(&hurt, Some(&decoy), "web-1"), Err(unsealable("web-1")));
}

#[test]
fn a_bad_wrap_is_not_passed_on() {
    let fleet = Fleet::of(&["web-1", "late"]);
    let mut sealed = fleet.seal(&["web-1"]);
    sealed.wraps = fleet.seal(&["web-1"]).wraps;
    let refused = fleet.wrap_for(&sealed, "web-1", "late").expect_err("its wrap leads nowhere");
    assert!(matches!(refused, WrapForError::Open(OpenError::Unsealable { .. })), "{refused}");
}
