//! The killed node is started again and catches up.

use std::time::{Duration, Instant};

use super::first::First;
use crate::failure::{Failure, unseen};
use crate::lab::{NAME, NODES};
use crate::stage::Stage;

/// Longest time until it serves what the others serve.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(20);
/// How long a web server may take to serve what certfleet has seen it serve.
const SERVE_LIMIT: Duration = Duration::from_secs(5);

pub async fn play(stage: &mut Stage, first: &First) -> Result<(), Failure> {
    let killed = first.killed;
    let name = NODES[killed];
    stage
        .screen
        .part(
            &format!("{name} comes back"),
            "It is started again, and must install the certificate that was issued without it. No new order.",
        )
        .await;
    let (start, end) = (Instant::now(), Instant::now() + CATCH_UP_LIMIT);
    stage.run(killed)?;
    loop {
        let news = stage.next(&format!("{name} serves the certificate"), end).await?;
        if news.event == "verified" && news.node == killed {
            break;
        }
    }
    let served = stage.served(killed, "", SERVE_LIMIT).await?;
    if served != first.served {
        return unseen(format!("{name} serves {}, the others serve {}", served.serial, first.served.serial));
    }
    stage.screen.seen(&format!("visitors get the same certificate from {name} too"));
    stage.took.push((format!("{name} started again and serving it"), start.elapsed()));
    stage.type_in(first.successor, &format!("certfleet wait {NAME} --verified")).await?;
    stage.type_in(first.successor, "certfleet status").await
}
