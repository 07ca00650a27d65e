//! A world that is not quite its seed's: with something left out, so that what makes it go wrong can be read, or with rare faults more often; as
//! values, and as the command line that repeats it.
//!
//! Always holds: what is left out changes nothing of what else was drawn.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use certfleet_core::names::NodeName;

/// What a world is to do without, and of what it has more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variant {
    /// Faults, by their numbers.
    pub faults: BTreeSet<usize>,
    /// Machines.
    pub nodes: BTreeSet<NodeName>,
    /// Certificates, by their names.
    pub certs: BTreeSet<String>,
    /// The faults stop at this moment after the world began, if they would not before.
    pub end: Option<Duration>,
    /// Rare faults come so many times as often.
    pub rare: Option<u64>,
}

/// As options of `certfleet-sim`; nothing if it is its seed's world.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.faults.is_empty() {
            write!(f, " --without {}", Numbers(self.faults.clone()))?;
        }
        let nodes: Vec<&str> = self.nodes.iter().map(NodeName::as_str).collect();
        if !nodes.is_empty() {
            write!(f, " --without-nodes {}", nodes.join(","))?;
        }
        let certs: Vec<&str> = self.certs.iter().map(String::as_str).collect();
        if !certs.is_empty() {
            write!(f, " --without-certificates {}", certs.join(","))?;
        }
        self.end.map_or(Ok(()), |end| write!(f, " --end-ms {}", end.as_millis()))?;
        self.rare.map_or(Ok(()), |times| write!(f, " --rare {times}"))
    }
}

/// Numbers as people write them: `3,7-12`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers(pub BTreeSet<usize>);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for number in &self.0 {
            match spans.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ => spans.push((*number, *number)),
            }
        }
        let span = |(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        f.write_str(&spans.iter().map(span).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text:?} is no number: write such as 3,7-12"));
        let mut numbers = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            numbers.extend(number(first)?..=number(last)?);
        }
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_options_that_repeat_it() {
        let numbers: Numbers = "3,7-9,12".parse().expect("numbers");
        assert_eq!(numbers.0, [3, 7, 8, 9, 12].into());
        assert!("3,x".parse::<Numbers>().is_err());
        let nodes = ["n2", "n4"].map(|node| node.parse().expect("a name")).into();
        let variant =
            Variant { faults: numbers.0, nodes, certs: ["c1.example".into()].into(), end: Some(Duration::from_secs(2)), rare: Some(3) };
        let told = " --without 3,7-9,12 --without-nodes n2,n4 --without-certificates c1.example --end-ms 2000 --rare 3";
        assert_eq!((variant.to_string().as_str(), Variant::default().to_string().as_str()), (told, ""));
    }
}
