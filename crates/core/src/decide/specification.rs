//! Which specification a record follows: a changed one is taken up only when every live `issue` node presents the same configuration.

use super::action::{Event, Subject};
use super::holder::GRACE;
use super::part::Part;
use super::transition;
use super::turn::Turn;
use crate::mutants::{Mutant, has};
use crate::records::CertRecord;
use crate::view::Observed;

/// Writes the record anew if the configuration says something else and the fleet agrees; true when nothing more is to be done for now.
pub(super) fn decide(turn: Turn<'_>, seen: &Observed<CertRecord>, part: &mut Part) -> bool {
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
    part.ties.passing = true;
    let differing = view.differing_nodes(now.mono);
    if !differing.is_empty() && !has(Mutant::AdoptAlone) {
        let names: Vec<String> = differing.iter().map(ToString::to_string).collect();
        turn.wait(part, format!("its changed configuration waits until {} has it too", names.join(", ")));
        return event == Event::Retired || record.retired;
    }
    if view.local.leaving {
        return true;
    }
    let moment = part.due(view, now, Subject::Cert(cert.clone())) + GRACE * turn.rank(None, part);
    if now.mono < moment {
        part.wake(moment);
    } else {
        turn.write(part, seen, changed, event);
    }
    true
}
