//! The log's events, in words for people. What is of no interest here is passed over; what a daemon finds wrong never is.

use crate::journal::News;
use crate::lab::{NAME, NODES, SERVERS};
use crate::screen::{Screen, Who};

/// Shows what happened.
pub fn narrate(screen: &Screen, news: &News) {
    let who = match news.event.as_str() {
        "sighted" => Who::Visitor,
        _ => Who::Node(news.node),
    };
    if let Some(words) = words(news) {
        screen.say(who, &words);
    } else if news.is_bad() {
        screen.say(who, &format!("warns: {} {}", news.event, news.line()));
    }
}

fn words(news: &News) -> Option<String> {
    let (order, server) = (news.text("order"), SERVERS[news.node]);
    let serial = news.text("serial");
    let (attempt, generation) = (news.number("attempt"), news.number("generation"));
    Some(match news.event.as_str() {
        "stand-in" => format!("puts a self-signed stand-in where {server} looks for its certificate, so that {server} can start"),
        "account-key-made" => "makes the one account key that the whole fleet uses".into(),
        "account-registered" => "registers the fleet's account with the CA".into(),
        "keyed" => format!("goes first: makes a private key for certificate no. {attempt} of {NAME}, and shares it with the fleet"),
        "ordered" => format!("places the order with the CA, and writes its address down for the others: {order}"),
        "validating" => "tells the CA to check that the name is really ours".into(),
        "taken-over" => format!("goes on with the order that was left behind: {order}"),
        "finalizing" => "all checks passed: asks the CA for the certificate".into(),
        "placed" => format!("has the certificate (no. {attempt}), and shares it with the fleet"),
        "verified" => format!("certificate no. {generation} is in {server}; certfleet has seen {server} serve it"),
        "installed" => format!("certificate no. {generation} is in {server}'s files; not seen served yet: {}", news.text("reason")),
        "install-failed" => format!("certificate no. {generation} could not be installed: {}", news.text("reason")),
        "failed" => format!("the CA refused: {}", news.text("problem")),
        "sighted" => format!("gets an answer from {} with the certificate {serial}", NODES[news.node]),
        _ => return None,
    })
}
