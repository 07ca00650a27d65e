//! The simulated store passes the suite of the real engines.

use std::sync::Arc;

use certfleet_sim::draw::Draw;
use certfleet_sim::engine::{Engine, Line};
use certfleet_sim::gate::Gate;
use certfleet_sim::history::History;
use certfleet_sim::link::{Link, Weather};
use certfleet_store::conformance::Pair;

async fn pair() -> (Pair, ()) {
    let (engine, history) = (Engine::new(None), Arc::new(History::default()));
    let line = |who: &str| {
        let link = Link::new(who, "store", &Gate::default(), &history, Draw::new(1));
        link.set(Weather { latency_ms: 0, ..Weather::default() });
        Line::new(&engine, who, &Arc::new(link))
    };
    (Pair { one: line("one"), other: line("other"), plant: Some(engine.clone()) }, ())
}

certfleet_store::conformance!(pair);
