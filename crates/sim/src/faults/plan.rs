//! Which faults come when: a list that is drawn from the seed before the world begins.

use std::time::Duration;

use certfleet_core::names::NodeName;

use super::{Fault, Rare, machines, rare};
use crate::draw::Draw;
use crate::scenario::Scene;
use crate::shape::Shape;
use crate::variant::Variant;

/// Of a thousand faults so many wait for a step of an attempt.
const STALKING: u64 = 200;
/// Longest time after that, in milliseconds.
const STALK_MS_MAX: u64 = 400;

/// A fault that will come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its number, by which it can be left out.
    pub number: usize,
    /// When, after the world began.
    pub at: Duration,
    /// If it waits for a step of an attempt from then on: so long after it.
    pub after_step: Option<Duration>,
    /// On which machine.
    pub node: NodeName,
    /// What.
    pub fault: Fault,
}

/// All faults of a world, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The faults.
    pub faults: Vec<Planned>,
    /// When they stop, after the world began.
    pub end: Duration,
}

impl Plan {
    /// Of a world's seed, for these certificates; rare faults come so many times as often as usual.
    pub fn new(draw: &Draw, shape: &Shape, certs: &[String], times: u64) -> Self {
        let rare = rare::drawn(&draw.fork("rare faults"), &shape.names(), times);
        let (mut draw, nodes) = (draw.fork("faults"), shape.names());
        let end = Duration::from_secs(shape.minutes * 60);
        let first = machines::from_the_beginning(&mut draw, shape).into_iter().zip(1..);
        let mut faults: Vec<_> =
            first.map(|((node, fault), number)| Planned { number, at: Duration::ZERO, after_step: None, node, fault }).collect();
        let mut at = pause(&mut draw);
        while at < end {
            let node = draw.one(&nodes).clone();
            let after_step = stalking(&mut draw);
            faults.push(Planned { number: faults.len() + 1, at, after_step, node, fault: Fault::draw(&mut draw, certs) });
            at += pause(&mut draw);
        }
        for (node, rare, mut draw) in rare {
            let (at, after_step) = moment(&mut draw, end);
            let over = rare.end().map(|(span, over)| (at + span, over)).filter(|(at, _)| *at < end);
            faults.push(Planned { number: faults.len() + 1, at, after_step, node: node.clone(), fault: Fault::Rare(rare) });
            if let Some((at, over)) = over {
                faults.push(Planned { number: faults.len() + 1, at, after_step: None, node, fault: Fault::Rare(over) });
            }
        }
        faults.sort_by_key(|planned| planned.at);
        Self { faults, end }
    }

    /// Whether a fault of this kind comes.
    pub fn has(&self, kind: impl Fn(&Rare) -> bool) -> bool {
        self.faults.iter().any(|planned| matches!(&planned.fault, Fault::Rare(rare) if kind(rare)))
    }

    /// What of it remains.
    pub fn less(mut self, variant: &Variant) -> Self {
        self.end = variant.end.map_or(self.end, |end| self.end.min(end));
        self.faults
            .retain(|planned| planned.at < self.end && !variant.faults.contains(&planned.number) && !variant.nodes.contains(&planned.node));
        self
    }
}

impl Planned {
    /// It comes.
    pub async fn strike(&self, scene: &mut Scene) {
        scene.world.observer.history.say(self.node.as_str(), || format!("fault {}: {}", self.number, self.fault));
        self.fault.strike(scene, &self.node).await;
    }
}

/// Whether it waits for a step, and how long after that it comes.
fn stalking(draw: &mut Draw) -> Option<Duration> {
    draw.once_in_a_thousand(STALKING).then(|| Duration::from_millis(draw.between(0, STALK_MS_MAX)))
}

/// When a rare fault comes.
fn moment(draw: &mut Draw, end: Duration) -> (Duration, Option<Duration>) {
    (Duration::from_millis(draw.between(0, u64::try_from(end.as_millis()).unwrap_or(u64::MAX) - 1)), stalking(draw))
}

/// How long until the next fault: often soon, so that faults meet the work; sometimes long, so that time-outs and renewals are met too.
fn pause(draw: &mut Draw) -> Duration {
    match draw.between(0, 9) {
        0..=4 => Duration::from_millis(draw.between(5, 3_000)),
        5..=7 => Duration::from_secs(draw.between(3, 300)),
        _ => Duration::from_secs(draw.between(5, 30) * 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_faults_out_changes_no_other() {
        let shape = Shape { nodes: 2, minutes: 12 * 60, ..Shape::of(&Draw::new(3)) };
        let (nodes, plan) = (shape.names(), Plan::new(&Draw::new(3), &shape, &["c0.example".into()], 1));
        assert!(plan.faults.len() > 10 && plan.faults.is_sorted_by_key(|planned| planned.at), "{plan:?}");
        let variant = Variant { faults: [2, 3].into(), nodes: [nodes[1].clone()].into(), end: Some(plan.end / 2), ..Variant::default() };
        let left = plan.clone().less(&variant);
        let stays =
            |planned: &&Planned| planned.number != 2 && planned.number != 3 && planned.node == nodes[0] && planned.at < plan.end / 2;
        assert_eq!(left.faults, plan.faults.iter().filter(stays).cloned().collect::<Vec<_>>());
        assert!(!left.faults.is_empty() && left.end == plan.end / 2);
    }
}
