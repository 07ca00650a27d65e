//! Which specification a record follows: a changed one is taken up only when every live `issue` node presents the same configuration.

use super::holder::{GRACE, my_rank};
use super::issuance::write;
use super::plan::{Event, Plan, Subject};
use super::transition;
use crate::names::CertName;
use crate::records::CertRecord;
use crate::time::Now;
use crate::view::{Observed, View};

/// Writes the record anew if the configuration says something else and the fleet agrees; true when nothing more is to be done for now.
pub(super) fn decide(view: &View, cert: &CertName, seen: &Observed<CertRecord>, now: Now, plan: &mut Plan) -> bool {
    let record = &seen.value;
    let (changed, event) = match view.spec.certificates.get(cert) {
        Some(own) if *own == record.spec && !record.retired => return false,
        Some(own) => (transition::adopted(record, own), Event::Adopted),
        None if record.retired => return true,
        None => (transition::retired(record), Event::Retired),
    };
    let differing = view.differing_nodes(now.mono);
    if !differing.is_empty() {
        let names: Vec<String> = differing.iter().map(ToString::to_string).collect();
        plan.wait(cert, format!("its changed configuration waits until {} has it too", names.join(", ")));
        return event == Event::Retired || record.retired;
    }
    if view.local.leaving {
        return true;
    }
    let since = plan.due(view, now, Subject::Cert(cert.clone()));
    let turn = since + GRACE * my_rank(view, now, cert.as_str(), None);
    if now.mono < turn {
        plan.wake(turn);
    } else {
        write(view, now, plan, cert, seen, changed, event);
    }
    true
}
