//! "Did you mean": the valid word nearest to what was written.

/// The nearest of `valid`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(written: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "-");
    let written = plain(written);
    let distance_max = 1 + written.chars().count() / 3;
    let near = valid.into_iter().map(|word| (strsim::damerau_levenshtein(&written, &plain(word)), word));
    near.filter(|(distance, _)| *distance <= distance_max).min().map(|(_, word)| word)
}

/// One line of advice: the nearest valid word, or else all of them.
pub(crate) fn advice<'a>(written: &str, what: &str, valid: impl IntoIterator<Item = &'a str> + Clone) -> String {
    const SHOWN_MAX: usize = 20;
    if let Some(word) = nearest(written, valid.clone()) {
        return format!("did you mean `{word}`?");
    }
    let mut words: Vec<_> = valid.into_iter().map(|word| format!("`{word}`")).collect();
    if words.is_empty() {
        return format!("there are no {what} here");
    }
    let more = if words.len() > SHOWN_MAX { ", …" } else { "" };
    words.truncate(SHOWN_MAX);
    format!("{what}: {}{more}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let valid = ["issuer", "challenge", "names", "on_failure"];
        assert_eq!(nearest("isuer", valid), Some("issuer"));
        assert_eq!(nearest("challange", valid), Some("challenge"));
        assert_eq!(nearest("On-Failure", valid), Some("on_failure"));
        assert_eq!(nearest("banana", valid), None);
        assert_eq!(advice("banana", "valid keys", valid), "valid keys: `issuer`, `challenge`, `names`, `on_failure`");
    }
}
