//! The figures as Markdown, for people: against what the CA grants, and what the store and the nodes have to bear.

use std::fmt::Write;
use std::time::Duration;

use certfleet_core::decide::{ATTEMPTS_AT_ONCE_MAX, BEAT_IDLE_MS};

use super::store::Kind;
use super::{Cost, Curve, Figures};

/// New orders that Let's Encrypt grants an account, steadily, in an hour: one each 36 s.
pub const GRANTED_PER_HOUR: u64 = 100;
/// The same within three hours, as it says it; so many may also come at once.
const GRANTED_IN_3_HOURS: u64 = 300;
/// Requests that it takes from one address within a second, apart from new orders and nonces.
const REQUESTS_PER_SECOND: u64 = 250;
/// Of the beats of a node at rest that come when they are due one of so many is read.
const BEATS_FOR_ONE_READ: f64 = 10.0;

/// The figures.
pub fn markdown(figures: &Figures) -> String {
    let scale = &figures.scale;
    let mut text = String::new();
    let over = scale.issued_over_hours;
    let had = if scale.new { "never issued before".to_owned() } else { format!("issued within {over} hours before the run began") };
    let _ = writeln!(
        text,
        "### {} certificates of {} days, {} nodes\n\nEach is placed on {} nodes; {} node(s) issue; {had}.\n\n| | |\n| --- | --- |",
        grouped(scale.certificates as u64),
        scale.life_days,
        grouped(scale.nodes as u64),
        scale.placed_on,
        scale.issuers
    );
    let mut row = |what: &str, value: String| _ = writeln!(text, "| {what} | {value} |");
    orders(figures, &mut row);
    store(figures, &mut row);
    issuing(figures, &mut row);
    deploying(figures, &mut row);
    let _ = writeln!(text);
    for (what, told) in &figures.wrong {
        let _ = writeln!(text, "**Wrong: {what}**: {told}\n");
    }
    text
}

fn orders(figures: &Figures, row: &mut impl FnMut(&str, String)) {
    let scale = &figures.scale;
    let (orders, due) = (&figures.orders, &figures.due);
    let days = |hour: usize| hour as f64 / 24.0;
    row("orders", grouped(orders.sum()));
    if let Some((first, last)) = orders.span() {
        row("first and last hour with orders, in days", format!("{:.1} to {:.1}", days(first), days(last)));
    }
    row("most due in one hour, by the moments alone", grouped(due.most_within(1)));
    row("most ordered in one hour", grouped(orders.most_within(1)));
    let three = orders.most_within(3);
    let times = three as f64 / GRANTED_IN_3_HOURS as f64;
    row(
        "most ordered in three hours; Let's Encrypt grants an account 300 new orders, and does not count renewals of the same names",
        format!("{}, {times:.0} times as many", grouped(three)),
    );
    let steady = scale.certificates as f64 / (f64::from(scale.life_days) * 2.0 / 3.0) / 8.0;
    row(
        "the same if the renewals were spread evenly, which is what an override for first orders or another CA must grant",
        format!("{}, {:.1} times as many", grouped(steady.ceil() as u64), steady / GRANTED_IN_3_HOURS as f64),
    );
    let refused: Vec<String> = figures.refused.iter().map(|(limit, count)| format!("{} ({limit})", grouped(*count))).collect();
    row("orders that the CA refused", if refused.is_empty() { "none".into() } else { refused.join(", ") });
    let (requests, busiest) = figures.requests;
    row(
        &format!("requests to the CA for each order; most within a second (it takes {REQUESTS_PER_SECOND} from an address)"),
        format!("{:.1}; {busiest}", requests as f64 / orders.sum().max(1) as f64),
    );
    row(
        "longest and mean time from due to placed",
        format!("{}, {}", span(figures.lag.0), span(mean(figures.lag.1, figures.placed.sum()))),
    );
    row("most that waited at once for their turn", grouped(figures.waiting_max as u64));
    let left = figures.least_left.0.map_or("-".into(), span);
    row("least that was left of a certificate when the next was placed", left);
    // What begins within a step may take a step less.
    let seconds = figures.attempt.unwrap_or_default().as_secs_f64().max(1.0);
    let per_node = ATTEMPTS_AT_ONCE_MAX as f64 * 3600.0 / seconds;
    row(
        &format!(
            "orders that one issuing node drives in an hour ({ATTEMPTS_AT_ONCE_MAX} at once, {seconds:.1} s each); nodes that would follow the moments"
        ),
        format!("{}; {}", grouped(per_node as u64), (due.most_within(1) as f64 / per_node).ceil()),
    );
}

fn store(figures: &Figures, row: &mut impl FnMut(&str, String)) {
    let scale = &figures.scale;
    let mut all = Curve::default();
    for curve in figures.writes.values() {
        curve.hours().iter().enumerate().for_each(|(hour, count)| all.add(Duration::from_secs(hour as u64 * 3600), *count));
    }
    let beats = figures.writes.get(&Kind::Beat);
    let at_rest = scale.nodes as f64 / (BEAT_IDLE_MS as f64 / 1000.0);
    row("store: writes a second at rest (beats)", format!("{at_rest:.0}"));
    let busiest = all.busiest();
    let rate = |count: u64| format!("{:.1}", count as f64 / 3600.0);
    let of = |kind: &Kind| figures.writes.get(kind).map_or(0, |curve| curve.at(busiest));
    let kinds: Vec<String> = Kind::ALL.iter().map(|kind| format!("{} {}", rate(of(kind)), kind.name())).collect();
    row("store: writes a second in the busiest hour", format!("{}: {}", rate(all.at(busiest)), kinds.join(", ")));
    let writes = all.sum() - beats.map_or(0, Curve::sum);
    row("store: writes for each order, beats aside", format!("{:.1}", writes as f64 / figures.orders.sum().max(1) as f64));
    let read = all.at(busiest) as f64 - of(&Kind::Beat) as f64 + of(&Kind::Beat) as f64 / BEATS_FOR_ONE_READ;
    let news = read / 3600.0;
    row(
        "store: reads a second in the busiest hour, by the constants: if the issuing nodes read all; if all nodes do (no central node)",
        format!("{:.0}; {}", news * scale.issuers as f64, grouped((news * scale.nodes as f64) as u64)),
    );
    if figures.conflicts > 0 {
        row("store: writes of records that came second", grouped(figures.conflicts));
    }
}

fn issuing(figures: &Figures, row: &mut impl FnMut(&str, String)) {
    let (cost, count) = (&figures.issuing, figures.scale.certificates as f64);
    let orders = figures.orders.sum().max(1) as f64;
    row(
        "`decide`, issuing: the first decision, about everything",
        format!("{:.1} s, {:.1} µs a certificate", cost.first.as_secs_f64(), micros(cost.first) / count),
    );
    row(
        "`decide`, issuing: decisions; mean and longest",
        format!("{}; {:.0} µs, {:.1} ms", grouped(cost.turns), micros(mean(cost.took, cost.turns)), cost.longest.as_secs_f64() * 1e3),
    );
    row(
        "`decide`, issuing: for each order: time, certificates looked at",
        format!("{:.0} µs, {:.1}", micros(cost.took) / orders, figures.looks_per_order()),
    );
    let beats = figures.scale.nodes as f64 / (BEAT_IDLE_MS as f64 / 1000.0);
    row(
        "`decide`, issuing: for each beat of another node; share of a core, if each is taken in alone",
        format!("{:.0} µs; {:.1} %", micros(cost.beat), beats * cost.beat.as_secs_f64() * 100.0),
    );
    let each = |bytes: u64| bytes as f64 / count;
    row(
        "memory of an issuing node: view, what was decided",
        format!(
            "{} MB, {:.0} B a certificate; {} MB, {:.0} B",
            grouped(cost.view_bytes >> 20),
            each(cost.view_bytes),
            grouped(cost.decided_bytes >> 20),
            each(cost.decided_bytes)
        ),
    );
}

fn deploying(figures: &Figures, row: &mut impl FnMut(&str, String)) {
    let (cost, scale) = (&figures.deploying, &figures.scale);
    if cost.nodes == 0 {
        return;
    }
    let Cost { nodes, turns, took, .. } = *cost;
    let of_life = took.as_secs_f64() / nodes as f64 / (f64::from(scale.life_days) * 86_400.0);
    row(
        &format!(
            "`decide`, deploying ({nodes} nodes, {} certificates each): decisions a day; mean; share of a core",
            scale.certificates * scale.placed_on / (scale.nodes - scale.issuers).max(1)
        ),
        format!(
            "{}; {:.0} µs; {:.4} %",
            grouped(turns / nodes as u64 / u64::from(scale.life_days)),
            micros(mean(took, turns)),
            of_life * 100.0
        ),
    );
}

fn mean(sum: Duration, count: u64) -> Duration {
    Duration::from_secs_f64(sum.as_secs_f64() / count.max(1) as f64)
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 2.0 * 86_400.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// With a comma after each three digits.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let told = [1, 119, 3_600, 172_799, 172_800].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(told, ["1 s", "119 s", "1.0 h", "48.0 h", "2.0 days"]);
    }
}
