//! Telling old from new where strangers write any change, and who knows less puts right first.

use super::super::{STRAY_CHANGE_MAX, Taken};
use super::{Value, number, of_cert};
use crate::envelope::Expect;
use crate::key::RecordKey;
use crate::samples::{cert, mono, record, view};
use crate::view::View;

#[test]
fn a_strays_change_is_gone_by_only_if_nothing_else_is_known() {
    let mut view = view();
    let key = RecordKey::Cert(cert()).key();
    let base =
        |view: &View| if let Expect::Revision(revision) = view.base(&key) { (revision.nonce, revision.change) } else { panic!("nothing") };
    let forged = |change| Value::signed(RecordKey::Cert(cert()), ("b", "x"), change, &record());
    assert_eq!(view.base(&key), Expect::Absent);
    for (change, gone_by) in [(7, 7), (u64::MAX, STRAY_CHANGE_MAX)] {
        forged(change).read(&mut view, 1);
        assert_eq!(base(&view), (forged(change).envelope.nonce, gone_by), "there must be room to tell old from new for ever");
    }
    of_cert("b", 4, 4).read(&mut view, 2);
    assert_eq!(base(&view), (of_cert("b", 4, 4).envelope.nonce, 4));
    forged(9).read(&mut view, 3);
    assert_eq!(base(&view), (forged(9).envelope.nonce, 4));
    view.apply(&key, None, mono(4));
    assert_eq!(view.base(&key), Expect::Absent);
}

#[test]
fn another_value_of_the_same_change_is_not_the_latest() {
    let mut view = view();
    of_cert("b", 4, 4).read(&mut view, 1);
    assert_eq!(of_cert("c", 4, 5).read(&mut view, 2), Taken::Not, "somebody put right what it knew less of");
    assert_eq!((number(&view), of_cert("b", 4, 4).read(&mut view, 3)), (Some(4), Taken::Known));
}

#[test]
fn nothing_is_done_with_a_record_that_was_just_put_right() {
    let mut view = view();
    let key = RecordKey::Cert(cert()).key();
    of_cert("b", 4, 4).read(&mut view, 1);
    assert!(!view.is_blocked(&key, mono(1)));
    Value::signed(RecordKey::Cert(cert()), ("b", "x"), 5, &record()).read(&mut view, 2);
    assert!(view.is_blocked(&key, mono(100)));
    of_cert("c", 5, 4).read(&mut view, 100);
    assert!(view.is_blocked(&key, mono(119)) && !view.is_blocked(&key, mono(120)));
}
