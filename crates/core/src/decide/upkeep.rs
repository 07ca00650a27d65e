//! What needs no store: stand-ins, so that the web servers can start.

use super::action::Action;
use super::plan::Plan;
use crate::time::Now;
use crate::view::View;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    for (cert, target, names) in view.targets_without_file() {
        plan.act(view, now, Action::StandIn(cert.clone(), target.clone(), names.to_vec()));
    }
}
