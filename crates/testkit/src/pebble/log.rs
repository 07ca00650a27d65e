//! What pebble's log says it did.

use std::collections::BTreeSet;

/// Serial numbers of the certificates issued, in order.
pub(super) fn issued(log: &str) -> Vec<String> {
    log.lines().filter_map(|line| word_after(line, "Issued certificate serial ")).map(str::to_owned).collect()
}

/// How many different orders were added.
pub(super) fn orders(log: &str) -> usize {
    log.lines().filter_map(|line| word_after(line, "Added order ")).collect::<BTreeSet<_>>().len()
}

/// How many accounts there are, by the last line that counts them.
pub(super) fn accounts(log: &str) -> usize {
    let count = log.lines().rev().find_map(|line| word_after(line, "There are now ").filter(|_| line.contains("accounts in memory")));
    count.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn word_after<'a>(line: &'a str, text: &str) -> Option<&'a str> {
    line.split_once(text)?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_counted() {
        let log = "Pebble There are now 1 accounts in memory\nPebble Added order \"a1\" to the db\nPebble There are now 1 orders in the db\n\
                   Pebble Added order \"a1\" to the db\nPebble There are now 3 accounts in memory\nPebble Added order \"b2\" to the db\n\
                   Pebble Issued certificate serial 04ab for order a1\n";
        assert_eq!((issued(log), orders(log), accounts(log)), (vec!["04ab".to_owned()], 2, 3));
        assert_eq!((issued(""), orders(""), accounts("")), (vec![], 0, 0));
    }
}
