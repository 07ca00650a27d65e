//! What a node makes of a store that anybody writes to, members that were taken over among them: lines of JSON, each a key and an envelope; one
//! whose signature is `sign` gets that of its writer. After each, the node decides, now and a day later.
//!
//! Also holds: a value that nobody signed does not count, whoever wrote it.

use std::time::Duration;

use certfleet_core::decide::decide;
use certfleet_core::time::{Mono, Now, later};

use crate::fleet::{self, Line, TO_BE_SIGNED, now};

/// Most lines that are looked at.
const LINES_MAX: usize = 8;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Takes them in.
pub fn read(data: &[u8]) -> bool {
    let mut view = fleet::view();
    let mut counted = false;
    for (at, line) in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(LINES_MAX).enumerate() {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
        let is_meant = line.envelope.signature == TO_BE_SIGNED || fleet::samples().iter().any(|sample| sample.envelope == line.envelope);
        let line = line.signed();
        let moment = now(at as u64 + 1);
        view.apply(&line.key, Some((&line.envelope, &line.revision(at + 2))), moment.mono);
        let counts = view.accepted.get(&line.key).is_some_and(|accepted| accepted.revision == line.revision(at + 2));
        assert!(is_meant || !counts, "nobody signed it for {}", line.key);
        counted |= counts;
        let plan = decide(&view, moment, 1);
        view.begin(&plan);
        view.local.busy.clear();
        let _ = decide(&view, Now { wall: later(moment.wall, DAY), mono: Mono(moment.mono.0 + DAY) }, 1);
    }
    let _ = (view.managed_names(), view.membership());
    counted
}
