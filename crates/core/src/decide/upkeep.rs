//! What needs no store: stand-ins, so that the web servers can start.

use super::action::Action;
use super::part::Part;
use super::turn::Turn;

pub(super) fn decide(turn: Turn<'_>, part: &mut Part) {
    let Some(spec) = turn.view.wanted.get(turn.cert) else { return };
    for (cert, target, names) in turn.view.without_file(turn.cert, spec) {
        turn.act(part, Action::StandIn(cert.clone(), target.clone(), names.to_vec()));
    }
}
