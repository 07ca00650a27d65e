//! A renewal rolls through all nodes while visitors keep coming.

use std::time::{Duration, Instant};

use super::first::First;
use crate::client::{Served, bare_serial};
use crate::failure::{Failure, unseen};
use crate::lab::{NAME, NODES};
use crate::screen::Who;
use crate::stage::Stage;
use crate::traffic::{Tally, Traffic};

/// Longest time until all nodes serve the new certificate.
const RENEWAL_LIMIT: Duration = Duration::from_secs(40);
/// Longest time until visitors have seen the old one everywhere.
const TRAFFIC_LIMIT: Duration = Duration::from_secs(15);
/// How long visitors come before the renewal is asked for, and after it is over.
const AROUND: Duration = Duration::from_millis(1_500);
/// The second generation.
const SECOND: u64 = 2;

/// How the renewal went.
#[derive(Debug)]
pub struct Renewal {
    /// The new certificate.
    pub served: Served,
    /// The visitors.
    pub tally: Tally,
}

pub async fn play(stage: &mut Stage, first: &First) -> Result<Renewal, Failure> {
    stage
        .screen
        .part(
            "A renewal, while visitors keep coming",
            "About fifty visitors a second, each with a connection of its own, come to the three addresses in turn, and trust only the CA. \
         Meanwhile a new certificate is asked for: one node installs it first, the others follow when it has been seen served there. No \
         visitor may notice.",
        )
        .await;
    let addresses = (0..NODES.len()).map(|node| stage.lab.https(node)).collect();
    let traffic = Traffic::start(stage.visitor.clone(), addresses, stage.journal.sender());
    until_sighted(stage, &first.served.serial).await?;
    stage.pass(AROUND).await?;
    let start = Instant::now();
    stage.type_in(first.killed, &format!("certfleet renew {NAME}")).await?;
    until_rolled(stage, &first.served.serial).await?;
    stage.took.push(("renewal on all three, under traffic".into(), start.elapsed()));
    stage.pass(AROUND).await?;
    let tally = traffic.stop().await;
    judge(stage, first, tally).await
}

/// Waits until visitors have seen the old certificate at all addresses.
async fn until_sighted(stage: &mut Stage, serial: &str) -> Result<(), Failure> {
    let (end, mut sighted) = (Instant::now() + TRAFFIC_LIMIT, [false; 3]);
    while sighted.contains(&false) {
        let news = stage.next("visitors reach all three addresses", end).await?;
        if news.event == "sighted" && news.text("serial") == serial {
            sighted[news.node] = true;
        }
    }
    Ok(())
}

/// Waits until all nodes have the second generation, and visitors have seen it everywhere.
async fn until_rolled(stage: &mut Stage, old: &str) -> Result<(), Failure> {
    let end = Instant::now() + RENEWAL_LIMIT;
    let (mut verified, mut sighted) = ([false; 3], [false; 3]);
    while verified.contains(&false) || sighted.contains(&false) {
        let news = stage.next("all three nodes serve the renewed certificate", end).await?;
        match news.event.as_str() {
            "verified" if news.number("generation") == SECOND => verified[news.node] = true,
            "sighted" if news.text("serial") != old => sighted[news.node] = true,
            "failed" => return unseen(format!("the renewal failed: {}", news.text("problem"))),
            _ => {}
        }
    }
    Ok(())
}

/// Nobody was turned away, everybody saw one of the two certificates, and both were seen.
async fn judge(stage: &Stage, first: &First, tally: Tally) -> Result<Renewal, Failure> {
    if tally.failed > 0 {
        return unseen(format!("{} of {} visitors were turned away:\n  {}", tally.failed, tally.visits(), tally.failures.join("\n  ")));
    }
    let served = stage.visitor.visit(stage.lab.https(0)).await.map_err(Failure::Unseen)?;
    let (old, new) = (tally.saw(&first.served.serial), tally.saw(&served.serial));
    if old == 0 || new == 0 || old + new != tally.visits() {
        return unseen(format!("of {} visitors {old} saw the old certificate and {new} the new one", tally.visits()));
    }
    let issued = stage.ca.issued();
    if issued.iter().map(|serial| bare_serial(serial)).ne([first.served.serial.as_str(), served.serial.as_str()]) {
        return unseen(format!("the CA issued {issued:?}, visitors saw {} and {}", first.served.serial, served.serial));
    }
    stage.screen.say(Who::Visitor, &format!("{old} saw the old certificate, then {new} the new one"));
    stage.screen.seen(&format!("{} visits, no connection lost", tally.visits()));
    Ok(Renewal { served, tally })
}
