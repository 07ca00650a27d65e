//! The first certificate: who places the order is killed in the middle of it, and another node goes on with the same order.

use std::time::{Duration, Instant};

use crate::client::Served;
use crate::failure::{Failure, unseen};
use crate::lab::{ADDRESSES, NODES, SERVERS};
use crate::screen::Who;
use crate::stage::Stage;

/// Longest time until the CA has an order and is told to check.
const ORDER_LIMIT: Duration = Duration::from_secs(30);
/// Longest time until the CA has begun to check, and how often that is looked at.
const CHECKING_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
/// What the CA's log says then.
const CHECKING: &str = " validations.";
/// Longest time until another node has gone on, and the survivors serve.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(45);
/// How long a web server may take to serve what certfleet has seen it serve.
const SERVE_LIMIT: Duration = Duration::from_secs(5);

/// How the first certificate came.
#[derive(Debug)]
pub struct First {
    /// Who placed the order, and was killed.
    pub killed: usize,
    /// Who went on with it.
    pub successor: usize,
    /// The certificate.
    pub served: Served,
}

pub async fn play(stage: &mut Stage) -> Result<First, Failure> {
    stage
        .screen
        .part(
            "The first certificate, and kill -9 in the middle of it",
            "All three daemons start. One of them goes first and places an order. As soon as the CA has been told to check the name, that \
         process is killed without warning. Another must go on with the very same order: one order, one certificate.",
        )
        .await;
    let start = Instant::now();
    for node in 0..NODES.len() {
        stage.run(node)?;
    }
    let (killed, order) = until_told_to_check(stage).await?;
    until_checking(stage).await?;
    kill(stage, killed)?;
    let kill = Instant::now();
    let successor = until_served(stage, killed, &order).await?;
    let served = seen_by_visitors(stage, killed).await?;
    answered(stage, killed).await?;
    let (killed_name, successor_name) = (NODES[killed], NODES[successor]);
    stage.took.push((format!("first certificate, {killed_name} killed on the way"), start.elapsed()));
    stage.took.push((format!("  from the kill until the other two served it, {successor_name} going on"), kill.elapsed()));
    Ok(First { killed, successor, served })
}

/// Waits until somebody has an order and tells the CA to check; gives who and the order.
async fn until_told_to_check(stage: &mut Stage) -> Result<(usize, String), Failure> {
    let end = Instant::now() + ORDER_LIMIT;
    let (mut stand_ins, mut checking) = ([false; 3], None);
    loop {
        let news = stage.next("a node places an order, and the CA is told to check", end).await?;
        match news.event.as_str() {
            "stand-in" => stand_ins[news.node] = true,
            "keyed" if stage.asked == news.node => turn_dns(stage, news.node).await,
            "validating" => checking = Some((news.node, news.text("order").to_owned())),
            "failed" | "placed" => return unseen(format!("{} had the CA's answer before it could be killed", NODES[news.node])),
            _ => {}
        }
        // Its web server must be able to start without it.
        if let Some((node, order)) = checking.take_if(|(node, _)| stand_ins[*node]) {
            return Ok((node, order));
        }
    }
}

/// Waits until the CA's own log says that it has begun to check.
async fn until_checking(stage: &Stage) -> Result<(), Failure> {
    let end = Instant::now() + CHECKING_LIMIT;
    while !stage.ca.log().contains(CHECKING) {
        if Instant::now() >= end {
            return unseen(format!("the CA did not begin to check within {CHECKING_LIMIT:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
    let asked = stage.asked;
    stage
        .screen
        .say(Who::Ca, &format!("begins to check: it will ask at the first address of the name, {} ({})", ADDRESSES[asked], NODES[asked]));
    Ok(())
}

/// The machine that is going to die must not be the one that the CA asks: a CA that meets a dead address refuses, whoever drives the order.
async fn turn_dns(stage: &mut Stage, node: usize) {
    stage.point_dns_at((node + 1) % NODES.len()).await;
    stage.screen.say(Who::Dns, "turns the addresses around, as round-robin DNS does");
}

fn kill(stage: &mut Stage, node: usize) -> Result<(), Failure> {
    let Some(mut daemon) = stage.daemons[node].take() else { return unseen(format!("{} does not run", NODES[node])) };
    let id = daemon.id();
    daemon.kill();
    stage.screen.command(node, &format!("kill -9 {id}"));
    let (name, server) = (NODES[node], SERVERS[node]);
    stage
        .screen
        .say(Who::Demo, &format!("certfleet on {name} is dead, its {server} goes on; the others act when it has been silent for 5 s"));
    Ok(())
}

/// Waits until another node has taken over, has the certificate, and both survivors serve it.
async fn until_served(stage: &mut Stage, killed: usize, order: &str) -> Result<usize, Failure> {
    let end = Instant::now() + TAKE_OVER_LIMIT;
    let (mut successor, mut verified) = (None, [false; 3]);
    while verified.iter().filter(|verified| **verified).count() < 2 {
        let news = stage.next("the other two finish the order and serve the certificate", end).await?;
        match news.event.as_str() {
            "taken-over" if news.text("order") != order => {
                return unseen(format!("{} goes on with {}, which is not the order {order}", NODES[news.node], news.text("order")));
            }
            "taken-over" => {
                successor = Some(news.node);
                stage.screen.seen(&format!("{} went on with the same order that {} had placed", NODES[news.node], NODES[killed]));
            }
            "ordered" => return unseen(format!("{} placed a second order: {}", NODES[news.node], news.text("order"))),
            "failed" => return unseen(format!("the order failed: {}", news.text("problem"))),
            "verified" => verified[news.node] = true,
            _ => {}
        }
    }
    match successor {
        Some(successor) => Ok(successor),
        None => unseen("the certificate is served, but nobody said that it took the order over"),
    }
}

/// What visitors see: the survivors serve the certificate, the killed node's web server has its stand-in still.
async fn seen_by_visitors(stage: &Stage, killed: usize) -> Result<Served, Failure> {
    let survivors: Vec<usize> = (0..NODES.len()).filter(|node| *node != killed).collect();
    let served = stage.served(survivors[0], "", SERVE_LIMIT).await?;
    let other = stage.served(survivors[1], "", SERVE_LIMIT).await?;
    if served != other {
        return unseen(format!("{} and {} serve different certificates", NODES[survivors[0]], NODES[survivors[1]]));
    }
    stage.screen.seen(&format!("visitors get it from {} and {}: serial {}", NODES[survivors[0]], NODES[survivors[1]], served.serial));
    match stage.visitor.visit(stage.lab.https(killed)).await {
        Ok(_) => unseen(format!("{} serves the certificate, though nobody was there to install it", NODES[killed])),
        Err(_) => {
            stage
                .screen
                .say(Who::Visitor, &format!("{} still shows its stand-in, which nobody trusts: its certfleet is dead", NODES[killed]));
            Ok(served)
        }
    }
}

/// The CA's questions were answered by a node that had not placed the order.
async fn answered(stage: &Stage, killed: usize) -> Result<(), Failure> {
    let (asked, placed) = (NODES[stage.asked], NODES[killed]);
    match stage.answers(stage.asked).await? {
        0 => unseen(format!("the CA issued, but {asked}, where it had to ask, answered nothing")),
        times => {
            stage.screen.seen(&format!("{asked} answered the CA ({times} requests), for the order that {placed} had placed"));
            Ok(())
        }
    }
}
