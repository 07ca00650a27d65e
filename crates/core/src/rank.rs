//! Who goes first: rendezvous hashing, so that every node computes the same order for a piece of work without talking, and the loss of a
//! node moves only that node's work.

use crate::hash::draw;
use crate::names::NodeName;

/// The nodes in the order in which they should take up `work`.
pub fn order<'a>(work: &str, nodes: impl IntoIterator<Item = &'a NodeName>) -> Vec<&'a NodeName> {
    let mut scored: Vec<(u64, &NodeName)> = nodes.into_iter().map(|node| (draw(&["rank", work, node.as_str()]), node)).collect();
    scored.sort_by(|a, b| b.cmp(a));
    scored.into_iter().map(|(_, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> Vec<NodeName> {
        (0..n).map(|i| format!("n{i}").parse().expect("name")).collect()
    }

    #[test]
    fn losing_a_node_moves_only_its_work() {
        let all = nodes(5);
        for work in (0..200).map(|i| format!("w{i}")) {
            let before = order(&work, &all);
            let after = order(&work, all.iter().filter(|n| *n != before[0]));
            assert_eq!(after, before[1..]);
        }
    }

    #[test]
    fn work_is_spread() {
        let all = nodes(4);
        let firsts = (0..400).map(|i| order(&format!("w{i}"), &all)[0].clone());
        let mut count = std::collections::BTreeMap::<NodeName, u32>::new();
        firsts.for_each(|node| *count.entry(node).or_default() += 1);
        assert!(count.values().all(|n| (60..140).contains(n)), "{count:?}");
    }
}
