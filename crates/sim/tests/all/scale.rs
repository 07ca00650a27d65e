//! The run for scale, small: what it must keep, and that what it costs to decide follows what happens and not what there is. Counts, never times.

use certfleet_sim::scale::{Figures, Scale, markdown, run, svg};

/// What Let's Encrypt grants an account at once, and again in three hours.
const GRANTED: u64 = 300;
/// So often, at the most, an issuing node looks at a certificate for one order of it: the steps of an attempt, the looks at the order, the reports.
const LOOKS_MAX: f64 = 60.0;

fn ran(scale: &Scale) -> Figures {
    let figures = run(scale, |_, _| {});
    assert!(figures.wrong.is_empty(), "{scale:?}: {:?}", figures.wrong);
    figures
}

#[test]
fn each_certificate_is_renewed_once_and_deciding_costs_what_happens() {
    let looks = [500, 2_000].map(|certificates| {
        let figures = ran(&Scale::new(100, certificates, 12));
        let count = certificates as u64;
        assert_eq!((figures.orders.sum(), figures.placed.sum()), (count, count));
        assert!(figures.refused.is_empty(), "renewals are exempt: {:?}", figures.refused);
        let left = figures.least_left.1.expect("some were served").as_secs() / 86_400;
        assert!(left >= 3, "two thirds of twelve days are gone when they are due: {left} days are left");
        let looks = figures.looks_per_order();
        assert!(looks < LOOKS_MAX, "{looks} looks for each of {certificates}");
        looks
    });
    assert!((looks[0] - looks[1]).abs() < 2.0, "four times as many certificates are no dearer each: {looks:?}");
}

#[test]
fn several_nodes_that_issue_share_the_work() {
    let scale = Scale { issuers: 3, ..Scale::new(40, 300, 12) };
    let figures = ran(&scale);
    assert_eq!((figures.orders.sum(), figures.placed.sum()), (300, 300));
    // Each looks at what the others do, too.
    assert!(figures.looks_per_order() < LOOKS_MAX * 3.0, "{}", figures.looks_per_order());
}

#[test]
fn first_orders_keep_to_what_the_ca_grants() {
    let scale = Scale { new: true, ..Scale::new(20, 420, 12) };
    let figures = ran(&scale);
    // Those that are renewed within the twelve days are not counted against the account.
    assert!(figures.orders.sum() >= 420 && figures.placed.sum() == figures.orders.sum());
    assert!(!figures.refused.is_empty(), "more than {GRANTED} at once are refused");
    assert!(figures.orders.at(0) <= GRANTED + 100, "{:?}", figures.orders.at(0));
    assert!(figures.orders.at(0) < 420, "the rest waits");
}

#[test]
fn a_run_tells_the_same_twice() {
    let scale = Scale::new(30, 120, 11);
    let (one, other) = (ran(&scale), ran(&scale));
    assert_eq!(svg(&one), svg(&other));
    assert_eq!((&one.orders, &one.writes, one.issuing.looked_at), (&other.orders, &other.writes, other.issuing.looked_at));
    let (table, picture) = (markdown(&one), svg(&one));
    assert!(table.contains("| orders | 120 |"), "{table}");
    assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n") && picture.len() < 100_000, "{picture:.200}");
}
