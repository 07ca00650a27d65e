use super::super::wish::request_renewal;
use super::*;
use crate::samples::{at, attempt, cert, name, placed, record, wall};

const DAY: u64 = 24 * 3600;

fn with(attempt: Attempt) -> CertRecord {
    CertRecord { last_number: attempt.number, attempt: Some(attempt), ..record() }
}

fn seconds_until(stamp: Option<Timestamp>, now: Now) -> u64 {
    until(now.wall, stamp.expect("put off")).as_secs()
}

#[test]
fn refused_attempts_wait_longer_and_longer() {
    let mut record = record();
    let spans = [60, 600, 6000, DAY, DAY];
    for (count, span) in spans.into_iter().enumerate() {
        record.attempt = Some(attempt(count as u64 + 1, "a", Step::Keyed));
        record = ended(&cert(), &record, AttemptEnd::Failed { problem: Problem::new("dns", "no", None) }, at(0), 7);
        let waits = seconds_until(record.failures.not_before, at(0));
        assert!((span * 95 / 100 - 1..=span * 105 / 100).contains(&waits), "{waits} s after failure {}", count + 1);
        assert!(believed_at(record.failures.not_before.expect("put off")) <= at(0).wall);
    }
    assert_eq!((record.failures.count, record.history.len()), (5, 5));
}

#[test]
fn an_order_that_was_anothers_counts_no_failure() {
    let mut record = with(attempt(1, "a", Step::Finalizing { order: "o".into() }));
    record = ended(&cert(), &record, AttemptEnd::NotOurs, at(0), 7);
    assert_eq!(record.failures.count, 0);
    assert!(seconds_until(record.failures.not_before, at(0)) < 5);
}

#[test]
fn a_put_off_attempt_has_no_holder_and_keeps_to_the_cas_time() {
    let problem = || Problem::new("rateLimited", "later", Some(429));
    let waits = |after: Option<u64>, hindered| {
        let attempt = Attempt { hindered, ..attempt(1, "a", Step::Keyed) };
        let put = put_off(&with(attempt), after.map(Duration::from_secs), problem(), at(0)).attempt.expect("there");
        assert_eq!((put.holder, put.hindered), (None, hindered + 1));
        seconds_until(put.not_before, at(0))
    };
    assert_eq!([waits(Some(120), 5), waits(Some(0), 0), waits(Some(90 * DAY), 0)], [120, 2, DAY]);
    assert_eq!([waits(None, 0), waits(None, 1), waits(None, 30)], [15, 30, 3600]);
}

#[test]
fn stamps_that_no_rule_gives_are_of_a_wrong_clock() {
    let stamp = |seconds| later(wall(), Duration::from_secs(seconds));
    assert!(believed_at(stamp(25 * 3600)) <= wall());
    assert!(believed_at(stamp(60 * DAY)) > wall());
}

#[test]
fn renewal_is_at_a_third_or_half_of_life_left_and_the_same_everywhere() {
    let moment = |days: u64| {
        let placed = Placed { not_after: later(wall(), Duration::from_secs(days * DAY)), ..placed(3, 3) };
        assert_eq!(renewal_moment(&cert(), &placed), renewal_moment(&cert(), &placed));
        until(wall(), renewal_moment(&cert(), &placed)).as_secs() as f64 / (days * DAY) as f64
    };
    assert!((0.65..=0.667).contains(&moment(90)), "{}", moment(90));
    assert!((0.48..=0.501).contains(&moment(6)), "{}", moment(6));
}

#[test]
fn a_silent_ca_is_given_up_near_expiry_only_and_only_so_often() {
    let silent_with = |is_spent, step, days: u64, aside: usize| {
        let mut record = with(attempt(2, "a", step));
        record.placed = Some(placed(1, 1));
        record.set_aside = vec![attempt(1, "a", Step::Keyed); aside];
        may_set_aside(&record, record.attempt.as_ref().expect("there"), is_spent, at(days * DAY))
    };
    let silent = |step, days, aside| silent_with(false, step, days, aside);
    let finalizing = || Step::Finalizing { order: "o".into() };
    assert!(!silent(finalizing(), 74, 0) && silent(finalizing(), 76, 0));
    assert!(!silent(Step::Keyed, 76, 0) && !silent(finalizing(), 76, SET_ASIDE_MAX));
    assert!(silent_with(true, finalizing(), 2, 0), "what is placed cannot be served");
    assert!(!silent_with(true, finalizing(), 0, 0) && !silent_with(true, finalizing(), 2, SET_ASIDE_MAX));
}

#[test]
fn a_wish_for_renewal_stands_until_a_generation_is_placed() {
    let wished = request_renewal(&record(), false, at(0));
    let running = keyed(Some(&wished), &wished.spec.clone(), attempt(1, "a", Step::Keyed));
    assert!(running.renew_requested_at.is_some());
    let failed = ended(&cert(), &running, AttemptEnd::Failed { problem: Problem::new("", "no", None) }, at(0), 0);
    assert!(failed.renew_requested_at.is_some());
    let done = succeeded(&running, placed(1, 1), false, at(0));
    assert_eq!((done.renew_requested_at, done.placed), (None, Some(placed(1, 1))));
}

#[test]
fn what_came_late_from_aside_replaces_nothing_newer() {
    let mut record = record();
    record.set_aside = vec![attempt(2, "a", Step::Keyed)];
    record.placed = Some(placed(3, 3));
    let aside = record.set_aside[0].clone();
    let ended = aside_ended(&record, &aside, Some(placed(2, 4)), at(0));
    assert_eq!((ended.placed, ended.set_aside.len(), ended.history.len()), (Some(placed(3, 3)), 0, 1));
    record.placed = Some(placed(1, 3));
    assert_eq!(aside_ended(&record, &aside, Some(placed(2, 4)), at(0)).placed, Some(placed(2, 4)));
}

#[test]
fn histories_and_drivers_are_bounded() {
    let mut record = record();
    for number in 1..60 {
        record.attempt = Some(attempt(number, "a", Step::Keyed));
        record = ended(&cert(), &record, AttemptEnd::NotOurs, at(0), 0);
    }
    assert_eq!((record.history.len(), record.history.last().map(|entry| entry.number)), (HISTORY_ENTRIES_MAX, Some(Generation(59))));
    let mut record = with(attempt(60, "a", Step::Keyed));
    let me = |node: &str| Me { node: name(node), ..crate::samples::view().me };
    for turn in 0..40 {
        record = taken_over(&record, &me(if turn % 2 == 0 { "b" } else { "a" }));
    }
    assert_eq!(record.attempt.expect("there").drivers.len(), DRIVERS_MAX);
}
