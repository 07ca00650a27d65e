use serde_json::json;

use super::super::grant::{Grant, GrantError, SignedGrant};
use super::*;
use crate::envelope::Nonce;
use crate::names::SpkiHash;
use crate::records::Removal;
use crate::samples::{fleet, name, node, signing_key, wall};

/// Everybody whom the table asks about: `o` with no role, `i`, `a`, `d` with one each, `id` with two, `all`.
const ROLES: [(&str, &[Role]); 6] = [
    ("o", &[]),
    ("i", &[Role::Issue]),
    ("a", &[Role::Answer]),
    ("d", &[Role::Deploy]),
    ("id", &[Role::Issue, Role::Deploy]),
    ("all", &[Role::Issue, Role::Answer, Role::Deploy]),
];

/// Who may write what stands under a key of its own name, and of another's.
const TABLE: &[(&str, &str, &str)] = &[
    // key                        own name            another's name
    ("fleet                     ", "-              ", "-            "),
    ("joining/NODE              ", "-              ", "-            "),
    ("nodes/NODE                ", "i id all       ", "i id all     "),
    ("home                      ", "i id all       ", "i id all     "),
    ("invitations/00ff          ", "i id all       ", "i id all     "),
    ("presence/NODE             ", "o i a d id all ", "-            "),
    ("accounts/@key             ", "i id all       ", "i id all     "),
    ("accounts/ca               ", "i id all       ", "i id all     "),
    ("certs/x                   ", "i id all       ", "i id all     "),
    ("certs/x@NODE              ", "i id all       ", "i id all     "),
    ("requests/x/NODE           ", "d id all       ", "-            "),
    ("keys/HASH                 ", "i d id all     ", "i d id all   "),
    ("wraps/HASH/NODE           ", "i d id all     ", "i d id all   "),
    ("versions/x/1              ", "i id all       ", "i id all     "),
    ("reports/x/NODE/nginx      ", "d id all       ", "-            "),
];

fn member(text: &str) -> NodeRecord {
    let roles = ROLES.iter().find(|(known, _)| *known == text).map_or(&[][..], |(_, roles)| roles);
    NodeRecord { granted: roles.iter().copied().collect(), ..node(text) }
}

fn roster() -> Roster {
    let members: Vec<NodeRecord> = ROLES.iter().map(|(text, _)| member(text)).collect();
    Roster::of(&fleet(), &members)
}

fn record_key(text: &str, whose: &str) -> RecordKey {
    let text = text.trim().replace("NODE", whose).replace("HASH", SpkiHash::of(b"key").as_str());
    RecordKey::of(&text.parse().expect("a key")).unwrap_or_else(|| panic!("{text} is no record's key"))
}

/// A value as `writer` would write it there, signed with the key of `signer`.
fn signed(key: &RecordKey, writer: &str, signer: &str, body: &impl serde::Serialize) -> Envelope {
    let envelope = Envelope::new(name(writer), Nonce::from_random([1; 16]), body).expect("wraps");
    envelope.signed(&name("f"), &key.key(), &signing_key(signer))
}

/// Which kind of record it is; a new kind needs a line here and in the table.
fn kind(key: &RecordKey) -> usize {
    match key {
        RecordKey::Fleet => 0,
        RecordKey::Node(_) => 1,
        RecordKey::Joining(_) => 2,
        RecordKey::Invitation(_) => 3,
        RecordKey::Presence(_) => 4,
        RecordKey::AccountKey => 5,
        RecordKey::Account(_) => 6,
        RecordKey::Cert(_) => 7,
        RecordKey::Request(..) => 8,
        RecordKey::PrivateKey(_) => 9,
        RecordKey::Wrap(..) => 10,
        RecordKey::Version(..) => 11,
        RecordKey::Report(..) => 12,
        RecordKey::Home => 13,
    }
}

#[test]
fn the_table_says_who_may_write_what() {
    let kinds: BTreeSet<usize> = TABLE.iter().map(|(text, ..)| kind(&record_key(text, "d"))).collect();
    assert_eq!(kinds, (0..14).collect(), "the table names every kind of record");
    for (text, own, others) in TABLE {
        for (writer, _) in ROLES {
            for (whose, allowed) in [(writer, own), ("elsewhere", others)] {
                may(&record_key(text, whose), writer, allowed.split_whitespace().any(|name| name == writer));
            }
        }
    }
}

fn may(key: &RecordKey, writer: &str, wanted: bool) {
    assert_eq!(may_write(key, &name(writer), &member(writer).granted), wanted, "{writer} and {key}");
    // The records of nodes are looked into as well, below.
    if !matches!(key, RecordKey::Node(_) | RecordKey::Joining(_)) {
        let checked = roster().check(key, &signed(key, writer, writer, &json!({})));
        assert_eq!(checked.is_ok(), wanted, "{writer} and {key}: {checked:?}");
    }
}

#[test]
fn a_signature_is_of_one_record_at_one_place_in_one_fleet() {
    let key = record_key("certs/x", "");
    let good = signed(&key, "i", "i", &json!({"a": 1}));
    assert_eq!(roster().check(&key, &good), Ok(()));
    let other = Roster { fleet: name("g"), ..roster() };
    let is_void = |roster: &Roster, key: &RecordKey, envelope: &Envelope, what: &str| {
        assert!(matches!(roster.check(key, envelope), Err(Distrust::Signature(_))), "{what}");
    };
    is_void(&other, &key, &good, "fleet");
    is_void(&roster(), &record_key("certs/y", ""), &good, "place");
    is_void(&roster(), &RecordKey::AccountKey, &good, "kind of record");
    let changed: [(&str, Envelope); 8] = [
        ("format", Envelope { format: 0, ..good.clone() }),
        ("writer", Envelope { writer: name("all"), ..good.clone() }),
        ("nonce", Envelope { nonce: Nonce::from_random([2; 16]), ..good.clone() }),
        ("change", Envelope { change: 2, ..good.clone() }),
        ("body", Envelope { body: json!({"a": 2}), ..good.clone() }),
        ("a field more", Envelope { body: json!({"a": 1, "b": 1}), ..good.clone() }),
        ("no signature", Envelope { signature: String::new(), ..good.clone() }),
        ("another's signature", signed(&key, "i", "all", &json!({"a": 1}))),
    ];
    for (what, envelope) in changed {
        is_void(&roster(), &key, &envelope, what);
    }
    let flipped = |index: usize| {
        let mut text = good.signature.clone().into_bytes();
        text[index] = if text[index] == b'A' { b'B' } else { b'A' };
        Envelope { signature: String::from_utf8(text).expect("ASCII"), ..good.clone() }
    };
    (0..good.signature.len()).for_each(|index| is_void(&roster(), &key, &flipped(index), "a flipped character"));
}

#[test]
fn who_is_no_member_has_no_say() {
    let key = record_key("certs/x", "");
    let envelope = signed(&key, "all", "all", &json!({}));
    let removal = |identity: &str| Removal { node: name("all"), identity: identity.into(), at: wall(), compromised: false };
    let with = |identity| Roster::of(&FleetRecord { removals: vec![removal(identity)], ..fleet() }, &[member("all")]);
    assert_eq!(with("all").check(&key, &envelope), Err(Distrust::NotAMember(name("all"))));
    assert_eq!(with("an earlier machine").check(&key, &envelope), Ok(()), "it is the machine that is removed, not the name");
    assert!(matches!(roster().check(&key, &signed(&key, "stranger", "stranger", &json!({}))), Err(Distrust::NotAMember(_))));
    assert!(matches!(roster().check(&key, &signed(&key, "the-fleet", "the fleet", &json!({}))), Err(Distrust::NotAMember(_))));
}

#[test]
fn the_fleet_record_is_the_fleet_keys() {
    let key = RecordKey::Fleet;
    assert_eq!(roster().check(&key, &signed(&key, "all", "the fleet", &fleet())), Ok(()));
    for signer in ["all", "stranger"] {
        assert_eq!(roster().check(&key, &signed(&key, "all", signer, &fleet())), Err(Distrust::FleetKey));
    }
    let two_keys = vec![signing_key("the next").verifying_key(), signing_key("the fleet").verifying_key()];
    let changing = Roster::of(&FleetRecord { verifying_keys: two_keys, ..fleet() }, &[]);
    for signer in ["the fleet", "the next"] {
        assert_eq!(changing.check(&key, &signed(&key, "all", signer, &fleet())), Ok(()));
    }
}

/// What an invitation for `web-*` allows, and the machine `web-1` that comes with it.
fn grant() -> Grant {
    crate::samples::grant("web-*", [Role::Deploy].into())
}

fn comes_with(grant: &Grant, node: &str) -> NodeRecord {
    crate::samples::comes_with(grant, node)
}

/// What a member with the role `issue` thinks of a machine's record that `writer` wrote as a member's, and of the asking itself.
fn let_in(record: &NodeRecord, writer: &str) -> [Result<(), Distrust>; 2] {
    let (member, asking) = (RecordKey::Node(record.name.clone()), RecordKey::Joining(record.name.clone()));
    let own = if record.name.as_str() == "db-1" { "db-1" } else { "web-1" };
    [roster().check(&member, &signed(&member, writer, writer, record)), roster().check(&asking, &signed(&asking, own, own, record))]
}

#[test]
fn a_node_is_let_in_by_the_fleet_key_or_with_a_token() {
    let plain = member("web-1");
    let key = RecordKey::Node(name("web-1"));
    assert_eq!(roster().check(&key, &signed(&key, "web-1", "the fleet", &plain)), Ok(()));
    let elsewhere = RecordKey::Node(name("web-2"));
    assert!(matches!(roster().check(&elsewhere, &signed(&elsewhere, "web-1", "the fleet", &plain)), Err(Distrust::WrongPlace(_))));
    assert_eq!(let_in(&comes_with(&grant(), "web-1"), "i"), [Ok(()), Ok(())]);
    let [by_deploy, _] = let_in(&comes_with(&grant(), "web-1"), "d");
    assert_eq!(by_deploy, Err(Distrust::MayNot(name("d"))));
    let [by_itself, _] = let_in(&comes_with(&grant(), "web-1"), "web-1");
    assert_eq!(by_itself, Err(Distrust::NotAMember(name("web-1"))));
    let removal = Removal { node: name("i"), identity: "i".into(), at: wall(), compromised: false };
    let without = Roster::of(&FleetRecord { removals: vec![removal], ..fleet() }, &[member("i")]);
    let countersigned = signed(&key, "i", "i", &comes_with(&grant(), "web-1"));
    assert_eq!(without.check(&key, &countersigned), Err(Distrust::NotAMember(name("i"))));
}

#[test]
fn a_token_is_for_what_it_says_and_nothing_else() {
    let good = comes_with(&grant(), "web-1");
    let resigned = |grant: &Grant, signer: &str| NodeRecord { grant: Some(SignedGrant::new(grant, &signing_key(signer))), ..good.clone() };
    let edited = |from: &str, to: &str| {
        let signed = good.grant.clone().expect("has one");
        assert!(signed.grant.contains(from), "{}", signed.grant);
        NodeRecord { grant: Some(SignedGrant { grant: signed.grant.replace(from, to), ..signed }), ..good.clone() }
    };
    let thief = signing_key("thief");
    let stolen = crate::samples::prove(&grant().id, &good, "thief");
    let more = [Role::Deploy, Role::Issue].into();
    let bad: Vec<(&str, NodeRecord, GrantError)> = vec![
        ("no token", NodeRecord { grant: None, ..good.clone() }, GrantError::NotSigned),
        ("no proof", NodeRecord { proof: None, ..good.clone() }, GrantError::NotSigned),
        ("not by the fleet key", resigned(&grant(), "i"), GrantError::NotSigned),
        ("another fleet's key", resigned(&grant(), "another fleet"), GrantError::NotSigned),
        ("edited names", edited("web-*", "*"), GrantError::NotSigned),
        ("edited uses", edited("\"uses\":1", "\"uses\":9"), GrantError::NotSigned),
        ("another fleet", resigned(&Grant { fleet: name("g"), ..grant() }, "the fleet"), GrantError::OtherFleet(name("g"))),
        ("another name", comes_with(&grant(), "db-1"), GrantError::OtherNode("web-*".parse().expect("a pattern"))),
        ("more roles", NodeRecord { granted: more, ..good.clone() }, GrantError::OtherRoles),
        ("fewer roles", NodeRecord { granted: Roles::new(), ..good.clone() }, GrantError::OtherRoles),
        ("not the token's key", NodeRecord { proof: Some(stolen), ..good.clone() }, GrantError::NoProof),
        ("proof for another name", NodeRecord { name: name("web-2"), ..good.clone() }, GrantError::NoProof),
        ("proof for another machine", NodeRecord { identity: "other".into(), ..good.clone() }, GrantError::NoProof),
        ("proof for other keys", NodeRecord { sealing_key: SealingKey::from_bytes([8; 32]), ..good.clone() }, GrantError::NoProof),
        ("another token's", resigned(&Grant { id: name("02"), ..grant() }, "the fleet"), GrantError::NoProof),
    ];
    for (what, record, why) in bad {
        assert_eq!(let_in(&record, "i"), [Err(Distrust::Grant(why.clone())), Err(Distrust::Grant(why))], "{what}");
    }
    let replayed = NodeRecord { signing_key: thief.verifying_key(), ..good };
    let key = RecordKey::Joining(name("web-1"));
    assert_eq!(roster().check(&key, &signed(&key, "web-1", "thief", &replayed)), Err(Distrust::Grant(GrantError::NoProof)));
}

#[test]
fn who_asks_signs_it_and_asks_for_itself() {
    let record = comes_with(&grant(), "web-1");
    let here = RecordKey::Joining(name("web-1"));
    let elsewhere = RecordKey::Joining(name("web-2"));
    let by = |key: &RecordKey, signer| roster().check(key, &signed(key, "web-1", signer, &record));
    assert_eq!(by(&here, "web-1"), Ok(()));
    assert_eq!(by(&here, "all"), Err(Distrust::Signature(name("web-1"))), "not even a member asks for another");
    assert_eq!(by(&elsewhere, "web-1"), Err(Distrust::WrongPlace("web-1".into())));
    let garbage = signed(&here, "web-1", "web-1", &json!("garbage"));
    assert!(matches!(roster().check(&here, &garbage), Err(Distrust::Unreadable(_))));
}

#[test]
fn an_expired_grant_is_still_a_grant() {
    // When it may be used, whoever lets the machine in decides; a member stays one after its token has expired.
    let old = Grant { expires_at: crate::time::earlier(wall(), std::time::Duration::from_secs(1)), ..grant() };
    assert_eq!(let_in(&comes_with(&old, "web-1"), "i"), [Ok(()), Ok(())]);
}
