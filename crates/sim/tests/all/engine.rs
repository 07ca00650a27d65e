//! The simulated store passes the suite of the real engines.

use std::sync::Arc;
use std::time::Duration;

use certfleet_sim::draw::Draw;
use certfleet_sim::engine::{Engine, Kind, Line, Nature};
use certfleet_sim::gate::Gate;
use certfleet_sim::history::History;
use certfleet_sim::link::{Link, Weather};
use certfleet_store::conformance::Pair;

/// Two lines to a store of this nature.
pub fn lines(nature: Nature) -> (Arc<Engine>, Arc<Line>, Arc<Line>) {
    let (engine, history) = (Engine::of(nature, None, Draw::new(1)), Arc::new(History::default()));
    let line = |who: &str| {
        let link = Link::new(who, "store", &Gate::default(), &history, Draw::new(1));
        link.set(Weather { latency_ms: 0, ..Weather::default() });
        Line::new(&engine, who, &Arc::new(link), None)
    };
    let (one, other) = (line("one"), line("other"));
    (engine, one, other)
}

async fn pair() -> (Pair, ()) {
    let (engine, one, other) = lines(Nature::default());
    (Pair { one, other, plant: Some(engine) }, ())
}

certfleet_store::conformance!(pair);

/// Who only looks for changes is told of all of them too. (Old values on a mount are not for this suite: it reads what another wrote at once.)
mod polled {
    use super::*;

    async fn pair() -> (Pair, ()) {
        let nature = Nature { kind: Kind::S3, poll: Some(Duration::from_millis(20)), ..Nature::default() };
        let (engine, one, other) = lines(nature);
        (Pair { one, other, plant: Some(engine) }, ())
    }

    certfleet_store::conformance!(pair);
}
