//! Which specification a record follows: a changed one is taken up only when every live `issue` node presents the same configuration.

use super::action::{Event, Subject};
use super::holder::GRACE;
use super::plan::Plan;
use super::transition;
use super::turn::Turn;
use crate::records::CertRecord;
use crate::view::Observed;

/// Writes the record anew if the configuration says something else and the fleet agrees; true when nothing more is to be done for now.
pub(super) fn decide(turn: Turn<'_>, seen: &Observed<CertRecord>, plan: &mut Plan) -> bool {
    let Turn { view, now, cert, .. } = turn;
    let record = &seen.value;
    let (changed, event) = match view.wanted.get(cert) {
        Some(own) if *own == record.spec && !record.retired => return false,
        Some(own) => (transition::adopted(record, own), Event::Adopted),
        None if record.retired => return true,
        // The node may have joined a moment ago, and its record not be here yet.
        None if cert.node().is_some_and(|node| !view.nodes.contains_key(&node)) => return false,
        None => (transition::retired(record), Event::Retired),
    };
    let differing = view.differing_nodes(now.mono);
    if !differing.is_empty() {
        let names: Vec<String> = differing.iter().map(ToString::to_string).collect();
        turn.wait(plan, format!("its changed configuration waits until {} has it too", names.join(", ")));
        return event == Event::Retired || record.retired;
    }
    if view.local.leaving {
        return true;
    }
    let moment = plan.due(view, now, Subject::Cert(cert.clone())) + GRACE * turn.rank(None);
    if now.mono < moment {
        plan.wake(moment);
    } else {
        turn.write(plan, seen, changed, event);
    }
    true
}
