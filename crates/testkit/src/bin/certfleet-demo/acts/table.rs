//! What is there at the end: looked at once more, from outside.

use super::first::First;
use super::renewal::Renewal;
use crate::failure::{Failure, unseen};
use crate::lab::{NAME, NODES, SERVERS};
use crate::screen::Who;
use crate::stage::Stage;

/// How many certificates, and how many orders, all of this takes.
const CERTIFICATES: usize = 2;

pub async fn play(stage: &Stage, first: &First, renewal: &Renewal) -> Result<(), Failure> {
    let screen = &stage.screen;
    screen.part("What came of it", "Looked at once more from outside: a visit to each node, and the CA's own log.").await;
    screen.plain(&format!("  {:<6}{:<10}{:<20}{:<20}{}", "node", "server", "address", "serves", "until"));
    for (node, name) in NODES.iter().enumerate() {
        let served = stage.visitor.visit(stage.lab.https(node)).await.map_err(Failure::Unseen)?;
        if served != renewal.served {
            return unseen(format!("{name} serves {} at the end, not {}", served.serial, renewal.served.serial));
        }
        let until = jiff::Timestamp::from_second(served.not_after)
            .map_or_else(|_| "-".into(), |until| until.strftime("%Y-%m-%d %H:%M UTC").to_string());
        let address = stage.lab.https(node).to_string();
        screen.plain(&format!("  {name:<6}{:<10}{address:<20}{:<20}{until}", SERVERS[node], served.serial));
    }
    screen.plain("");
    stage.type_in(0, &format!("certfleet history {NAME}")).await?;
    let (issued, orders, accounts) = (stage.ca.issued().len(), stage.ca.orders_seen(), stage.ca.accounts_seen());
    screen.plain("");
    row(stage, "certificates the CA issued", &format!("{issued}   ({} and {})", first.served.serial, renewal.served.serial));
    row(stage, "orders it saw", &format!("{orders}   (one placed by {}, finished by {})", NODES[first.killed], NODES[first.successor]));
    row(stage, "accounts it knows", &format!("{accounts}   (one for the whole fleet)"));
    row(stage, "visitors turned away", &format!("{} of {}", renewal.tally.failed, renewal.tally.visits()));
    screen.plain("");
    for (what, took) in &stage.took {
        row(stage, what, &format!("{:.1} s", took.as_secs_f32()));
    }
    row(stage, "everything", &format!("{:.1} s", screen.elapsed().as_secs_f32()));
    screen.plain("");
    if (issued, orders) != (CERTIFICATES, CERTIFICATES) {
        return unseen(format!("the CA issued {issued} certificates for {orders} orders; there should be {CERTIFICATES} of each"));
    }
    screen.say(Who::Demo, &screen.painted("1;32", &format!("all of this was observed: {NAME} is served by all three")));
    Ok(())
}

fn row(stage: &Stage, what: &str, value: &str) {
    stage.screen.plain(&format!("  {what:<66}{value}"));
}
