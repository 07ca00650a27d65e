use certfleet_core::envelope::Nonce;

use super::*;

fn value(n: u8) -> Envelope {
    Envelope::new("n1".parse().expect("a name"), Nonce::from_random([n; 16]), &serde_json::json!({ "n": n })).expect("plain JSON")
}

#[test]
fn a_step_is_judged_by_what_a_member_wrote_before_it() {
    let (mut forged, key) = (Forged { is_to_come: true, ..Forged::default() }, "certs/a".parse().expect("a key"));
    assert_eq!((1..4).map(|n| forged.wrote("n1", &key, Some(&value(n)))).collect::<Vec<_>>(), [After::There, After::There, After::There]);
    assert_eq!(forged.earlier(&key), [value(1), value(2)]);
    let node = "n1".parse().expect("a name");
    forged.saw(&node, &key, &value(3));
    forged.forged(&key, Some(&value(3)), |_| true);
    forged.forged(&key, Some(&value(9)), |_| true);
    assert_eq!((forged.genuine(&key), forged.left()), (Some(Some(&value(3))), Some(&key)));
    assert_eq!(forged.wrote("n1", &key, Some(&value(2))), After::Again, "who does not know the last");
    assert_eq!((forged.genuine(&key), forged.left()), (Some(Some(&value(3))), None));
    assert_eq!(forged.wrote("n1", &key, Some(&value(3))), After::Again);
    assert_eq!(forged.wrote("n1", &key, Some(&value(4))), After::There);
    forged.saw(&node, &key, &value(4));
    forged.forged(&key, Some(&value(4)), |_| true);
    assert_eq!(forged.wrote("n1", &key, Some(&value(5))), After::Genuine(Some(Box::new(value(4)))));
}

#[test]
fn what_nobody_had_seen_is_lost_with_what_is_forged_over_it() {
    let (node, key) = ("n1".parse().expect("a name"), "certs/a".parse().expect("a key"));
    for seen in [Some(2), Some(1), None] {
        let mut forged = Forged { is_to_come: true, ..Forged::default() };
        (1..3).for_each(|n| drop(forged.wrote("n1", &key, Some(&value(n)))));
        seen.into_iter().for_each(|seen| forged.saw(&node, &key, &value(seen)));
        forged.forged(&key, Some(&value(2)), |_| true);
        let after = if seen == Some(2) { After::Genuine } else { After::Lost };
        assert_eq!(forged.wrote("n1", &key, Some(&value(3))), after(Some(Box::new(value(2)))));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_there_knew_is_lost_with_the_backup() {
    let key: Key = "certs/a".parse().expect("a key");
    let [one, other] = ["n1", "n2"].map(|node| node.parse::<NodeName>().expect("a name"));
    let back = |witnesses: &[&NodeName]| {
        let mut forged = Forged { is_to_come: true, ..Forged::default() };
        (1..3).for_each(|n| drop(forged.wrote("n1", &key, Some(&value(n)))));
        forged.saw(&one, &key, &value(2));
        forged.saw(&other, &key, &value(1));
        forged.comes_back(witnesses.iter().copied().cloned().collect(), false, Duration::ZERO);
        forged.brought_back(&key, Some(&value(2)), Some(&value(1)), |_| true);
        forged
    };
    let latest = Some(Box::new(value(2)));
    assert_eq!(back(&[&one, &other]).wrote("n1", &key, Some(&value(3))), After::Genuine(latest.clone()));
    assert_eq!(back(&[&one]).wrote("n1", &key, Some(&value(2))), After::Again);
    assert_eq!(back(&[&other]).wrote("n1", &key, Some(&value(3))), After::Lost(latest.clone()), "the other one knows no better");
    let mut forged = back(&[&one]);
    assert_eq!(forged.left(), Some(&key));
    forged.are_disturbed(|node| *node == one);
    assert_eq!(forged.left(), None);
    assert_eq!(forged.wrote("n1", &key, Some(&value(3))), After::Lost(latest));
}

#[tokio::test(start_paused = true)]
async fn who_is_shown_the_old_puts_nothing_right_before_others_go_on() {
    let key: Key = "certs/a".parse().expect("a key");
    let one: NodeName = "n1".parse().expect("a name");
    let latest = Some(Box::new(value(2)));
    for (who, seconds, after) in
        [("n2", 65, After::Lost(latest.clone())), ("n2", 66, After::Genuine(latest.clone())), ("n1", 0, After::Genuine(latest))]
    {
        let mut forged = Forged { is_to_come: true, ..Forged::default() };
        (1..3).for_each(|n| drop(forged.wrote("n1", &key, Some(&value(n)))));
        forged.saw(&one, &key, &value(2));
        forged.comes_back([one.clone()].into(), false, Duration::from_secs(60));
        forged.brought_back(&key, Some(&value(2)), Some(&value(1)), |_| true);
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(forged.wrote(who, &key, Some(&value(3))), after, "{who} after {seconds} s");
    }
}

#[test]
fn what_is_derived_from_it_is_seen() {
    let marked = Envelope { body: serde_json::json!({ FORGED: true }), ..value(1) };
    let key = "presence/n1".parse().expect("a key");
    assert!(Forged::is_clean("n1", &key, Some(&marked)).is_err() && Forged::is_clean("n1", &key, Some(&value(1))).is_ok());
    let mut forged = Forged { is_to_come: true, ..Forged::default() };
    forged.wrote("n1", &key, Some(&value(1)));
    forged.lost(&key, Some(&marked));
    assert_eq!(forged.genuine(&key), Some(None), "of what may be removed nothing is remembered");
}
