//! What needs no store: stand-ins, so that the web servers can start.

use super::plan::{Action, Plan};
use crate::spec::Role;
use crate::time::Now;
use crate::view::View;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if !view.me.configured.contains(&Role::Deploy) {
        return;
    }
    for (cert, spec) in view.spec.certificates.iter().filter(|(_, spec)| spec.is_placed_on(&view.me.node)) {
        let mine = spec.deploy.iter().filter(|target| view.spec.targets.get(*target).is_some_and(|t| t.is_on(&view.me.node)));
        for target in mine.filter(|target| !view.local.stood_in.contains(&(cert.clone(), (*target).clone()))) {
            plan.act(view, now, Action::StandIn(cert.clone(), target.clone(), spec.names.clone()));
        }
    }
}
