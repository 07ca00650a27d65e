//! Naming nodes, one or many.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{NameError, NodeName, check_simple, refuse};

/// A node name, or a pattern in which `*` stands for any run of characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePattern(String);

impl NodePattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names exactly one node.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `node` is meant.
    pub fn matches(&self, node: &NodeName) -> bool {
        glob(self.0.as_bytes(), node.as_str().as_bytes())
    }

    /// Those of `nodes` that are meant, at the cost of those that begin like the pattern.
    pub fn among<'a, V>(&'a self, nodes: &'a BTreeMap<NodeName, V>) -> impl Iterator<Item = (&'a NodeName, &'a V)> {
        let head = self.0.split('*').next().unwrap_or_default();
        // No name, only where the names that begin so begin.
        let begin = NodeName(head.to_owned());
        let alike = nodes.range(begin..).take_while(move |(node, _)| node.as_str().starts_with(head));
        alike.filter(|(node, _)| self.matches(node))
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

impl FromStr for NodePattern {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        const KIND: &str = "node name or pattern";
        if value.contains('*') {
            let plain = value.replace('*', "x");
            check_simple(KIND, &plain).map_err(|e| refuse(KIND, value, e.problem))?;
        } else {
            check_simple(KIND, value)?;
        }
        Ok(Self(value.to_owned()))
    }
}

impl TryFrom<String> for NodePattern {
    type Error = NameError;
    fn try_from(value: String) -> Result<Self, NameError> {
        value.parse()
    }
}

impl From<NodePattern> for String {
    fn from(pattern: NodePattern) -> String {
        pattern.0
    }
}

impl fmt::Display for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let matches = |p: &str, n: &str| p.parse::<NodePattern>().expect(p).matches(&n.parse().expect(n));
        assert!(matches("web-*", "web-1") && matches("*", "x") && matches("a*b*c", "axxbyyc") && matches("lb1", "lb1"));
        assert!(!matches("web-*", "xweb-1") && !matches("a*b*c", "axxbyy") && !matches("lb1", "lb10"));
    }

    #[test]
    fn what_is_looked_up_is_what_matches() {
        let names = ["a", "lb1", "lb10", "lb2", "web", "web-1", "web-1x", "web-2", "x-web-1"];
        let nodes: BTreeMap<NodeName, ()> = names.iter().map(|name| (name.parse().expect(name), ())).collect();
        for pattern in ["lb1", "lb*", "web-*", "*1", "*", "w*-1*", "none", "z*"].map(|p| p.parse::<NodePattern>().expect(p)) {
            let found: Vec<&NodeName> = pattern.among(&nodes).map(|(node, ())| node).collect();
            assert_eq!(found, nodes.keys().filter(|node| pattern.matches(node)).collect::<Vec<_>>(), "{pattern}");
        }
    }
}
