//! The renewal curve as a picture: orders per hour over days, beside when they were due and what the CA grants.
//!
//! Deliberately not here: a library for plots. Two panels, two lines and some text are written as they are.

use std::fmt::Write;

use super::table::{GRANTED_PER_HOUR, grouped};
use super::{Curve, Figures};

/// Size of the picture.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
/// Where the plots begin and end.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 876.0;
/// Hours before and after the wave that its panel shows.
const MARGIN_HOURS: usize = 18;
/// At most so many marks on an axis.
const MARKS_MAX: f64 = 8.0;

/// Where a panel is, and what it shows.
struct Panel {
    top: f64,
    bottom: f64,
    hours: (usize, usize),
    most: f64,
}

/// The picture.
pub fn svg(figures: &Figures) -> String {
    let scale = &figures.scale;
    let (first, last) = wave(figures);
    let hours = scale.life_days as usize * 24;
    let most = ceiling(figures.orders.most_within(1).max(figures.due.most_within(1)).max(GRANTED_PER_HOUR) as f64);
    let whole = Panel { top: 96.0, bottom: 196.0, hours: (0, hours), most };
    let close = Panel { top: 268.0, bottom: 500.0, hours: (first.saturating_sub(MARGIN_HOURS), (last + MARGIN_HOURS).min(hours)), most };
    let mut text = head(figures);
    panel(&mut text, &whole, figures, 2);
    panel(&mut text, &close, figures, 4);
    let _ = writeln!(text, r#"<text x="{LEFT}" y="258" class="small">the same, close up</text>"#);
    let middle = (LEFT + RIGHT) / 2.0;
    let _ =
        writeln!(text, r#"<text x="{middle}" y="{}" class="small" text-anchor="middle">days since the run began</text>"#, HEIGHT - 18.0);
    text.push_str("</svg>\n");
    text
}

/// The hours in which anything is due or ordered, within the run.
fn wave(figures: &Figures) -> (usize, usize) {
    let end = figures.scale.life_days as usize * 24;
    let spans = [&figures.orders, &figures.due].into_iter().filter_map(Curve::span);
    let (first, last) = spans.fold((end, 0), |(first, last), span| (first.min(span.0), last.max(span.1)));
    (first.min(end), last.min(end))
}

fn head(figures: &Figures) -> String {
    let scale = &figures.scale;
    let title = format!(
        "{} certificates of {} days on {} nodes: orders per hour",
        grouped(scale.certificates as u64),
        scale.life_days,
        grouped(scale.nodes as u64)
    );
    let driving = if scale.issuers == 1 { "one node".to_owned() } else { format!("{} nodes", scale.issuers) };
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f }} .title {{ font-size: 17px; font-weight: 600 }} .small {{ font-size: 12px; fill: #57606a }}
.grid {{ stroke: #d8dee4; stroke-width: 1 }} .axis {{ stroke: #57606a; stroke-width: 1 }} .ordered {{ fill: #54aeff; fill-opacity: .55; stroke: #0969da; stroke-width: 1.2 }}
.due {{ fill: none; stroke: #8250df; stroke-width: 1.4; stroke-dasharray: 5 3 }} .limit {{ stroke: #cf222e; stroke-width: 1.4 }} .red {{ fill: #cf222e; font-size: 12px }}
</style>
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{LEFT}" y="32" class="title">{title}</text>
<rect x="{LEFT}" y="47" width="22" height="11" class="ordered"/><text x="113" y="57">ordered, by {driving}</text>
<line x1="290" x2="314" y1="53" y2="53" class="due"/><text x="321" y="57">due, by each one's moment</text>
<line x1="520" x2="544" y1="53" y2="53" class="limit"/><text x="551" y="57">new orders that Let's Encrypt grants: {GRANTED_PER_HOUR} an hour</text>
<text x="{LEFT}" y="77" class="small">Renewals of the same names are exempt from that limit; first orders are not.</text>
"##
    )
}

fn panel(text: &mut String, panel: &Panel, figures: &Figures, marks: usize) {
    for n in 0..=marks {
        let value = panel.most * n as f64 / marks as f64;
        let y = panel.y(value);
        let _ = writeln!(text, r#"<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}" class="grid"/>"#);
        let label = grouped(value.round() as u64);
        let _ = writeln!(text, r#"<text x="{}" y="{:.1}" class="small" text-anchor="end">{label}</text>"#, LEFT - 8.0, y + 4.0);
    }
    for day in days(panel.hours) {
        let x = panel.x(day * 24.0);
        let (top, bottom) = (panel.bottom, panel.bottom + 5.0);
        let _ = writeln!(text, r#"<line x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}" class="axis"/>"#);
        let _ = writeln!(text, r#"<text x="{x:.1}" y="{}" class="small" text-anchor="middle">{day}</text>"#, panel.bottom + 19.0);
    }
    let (begin, end) = (panel.x(panel.hours.0 as f64), panel.x(panel.hours.1 as f64));
    let _ =
        writeln!(text, r#"<path class="ordered" d="M{begin:.1} {0:.1}{1}L{end:.1} {0:.1}Z"/>"#, panel.bottom, panel.steps(&figures.orders));
    let due = panel.steps(&figures.due);
    let _ = writeln!(text, r#"<path class="due" d="M{begin:.1} {:.1}{due}"/>"#, panel.y(figures.due.at(panel.hours.0) as f64));
    let y = panel.y(GRANTED_PER_HOUR as f64);
    let _ = writeln!(text, r#"<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}" class="limit"/>"#);
    let _ = writeln!(text, r#"<line x1="{LEFT}" x2="{RIGHT}" y1="{0}" y2="{0}" class="axis"/>"#, panel.bottom);
}

impl Panel {
    fn x(&self, hour: f64) -> f64 {
        let share = (hour - self.hours.0 as f64) / (self.hours.1 - self.hours.0).max(1) as f64;
        LEFT + (RIGHT - LEFT) * share
    }

    fn y(&self, count: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * count / self.most
    }

    /// Each hour is a step; of hours that are alike only the ends are drawn.
    fn steps(&self, curve: &Curve) -> String {
        let mut text = String::new();
        let mut hour = self.hours.0;
        while hour < self.hours.1 {
            let count = curve.at(hour);
            let alike = (hour..self.hours.1).take_while(|other| curve.at(*other) == count).count();
            let y = self.y(count as f64);
            let _ = write!(text, "L{:.1} {y:.1}L{:.1} {y:.1}", self.x(hour as f64), self.x((hour + alike) as f64));
            hour += alike;
        }
        text
    }
}

/// Whole days, or halves, so that there are not too many.
fn days((first, last): (usize, usize)) -> impl Iterator<Item = f64> {
    let (first, last) = (first as f64 / 24.0, last as f64 / 24.0);
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
    let step = steps.into_iter().find(|step| (last - first) / step <= MARKS_MAX).unwrap_or(60.0);
    let begin = (first / step).ceil() as u32;
    let end = (last / step).floor() as u32;
    (begin..=end).map(move |n| f64::from(n) * step)
}

/// The next round number.
fn ceiling(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1.0).log10().floor());
    let round = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    round.into_iter().map(|n| n * power).find(|value| *value >= most).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([1.0, 99.0, 101.0, 4_100.0, 39_000.0].map(ceiling), [1.0, 100.0, 200.0, 6_000.0, 40_000.0]);
        assert_eq!(days((0, 90 * 24)).collect::<Vec<_>>(), [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0]);
        assert_eq!(days((59 * 24 + 6, 62 * 24)).collect::<Vec<_>>(), [59.5, 60.0, 60.5, 61.0, 61.5, 62.0]);
    }
}
