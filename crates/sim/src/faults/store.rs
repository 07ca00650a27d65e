//! What happens to the engine: leaders are lost, and with some the last writes.

use std::time::Duration;

use crate::engine::Kind;
use crate::scenario::Scene;

/// What can happen to this kind of engine; to some nothing can.
pub(super) fn lose_leader(scene: &Scene, torn: Duration, lost: Option<Duration>) {
    let engine = &scene.world.site.engine;
    let kind = engine.nature().kind;
    if matches!(kind, Kind::Etcd | Kind::Postgres | Kind::Redis) {
        engine.tear(torn);
        scene.world.observer.are_disturbed(|_| true);
        scene.unsettle_all();
    }
    if let Some(lost) = lost.filter(|_| kind == Kind::Redis) {
        let keys = engine.fail_over(lost);
        scene
            .world
            .observer
            .history
            .say("store", || format!("fails over, the writes of the last {} ms are lost: {}", lost.as_millis(), keys.len()));
    }
}
