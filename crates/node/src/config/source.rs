//! The files a configuration was read from, and places in them.
//!
//! Always holds: a [`Place`] lies within its file, on character boundaries; what is kept for showing has every literal secret masked.
//!
//! Deliberately not here: parsing ([`super::tree`]), following `include` ([`super::files`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys whose value is a secret; a literal behind one of them is never shown.
const SECRET_KEYS: [&str; 2] = ["password", "hmac_key"];

/// A run of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Place {
    /// Offsets fit because files are bounded far below 4 GiB.
    pub(crate) fn new(file: u32, span: std::ops::Range<usize>) -> Self {
        let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: offset(span.start), end: offset(span.end) }
    }
}

/// One file, ready to be shown.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    shown: Arc<str>,
}

impl SourceFile {
    /// The text with literal secrets masked; as long as the original, so that places fit.
    pub(crate) fn shown(&self) -> Arc<str> {
        self.shown.clone()
    }

    /// Line and column, counted from 1, the column in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.shown.get(..offset).unwrap_or(&self.shown);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// All files of a configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources(Vec<SourceFile>);

impl Sources {
    /// Takes a file in and gives its number.
    pub(crate) fn add(&mut self, path: PathBuf, text: &str) -> u32 {
        self.0.push(SourceFile { path, shown: mask(text).into() });
        u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, file: u32) -> Option<&SourceFile> {
        self.0.get(file as usize)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|file| file.path.as_path())
    }
}

/// Overwrites literal secrets with stars, byte for byte. Works on text that does not parse, since a syntax error is shown too.
fn mask(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for key in SECRET_KEYS {
        // Literals begin one after another. So each byte is starred once, and a bare literal's end is looked for once, however many of the keys
        // stand in it: the text may be anything.
        let (mut starred_to, mut bare_to) = (0, 0);
        for (at, _) in text.match_indices(key) {
            let Some(literal) = literal_after(text, at + key.len(), bare_to) else { continue };
            star_out(&mut bytes[literal.range.start.max(starred_to)..literal.range.end.max(starred_to)]);
            starred_to = starred_to.max(literal.range.end);
            bare_to = if literal.is_bare { literal.range.end } else { bare_to };
        }
    }
    for (at, _) in text.match_indices("://") {
        if let Some(range) = password_in_url(text, at + 3) {
            star_out(&mut bytes[range]);
        }
    }
    // Whole values are overwritten, from one character boundary to another.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Lines stay lines, so that positions stay right.
fn star_out(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
}

/// A literal, without its first quote.
struct Literal {
    range: std::ops::Range<usize>,
    is_bare: bool,
}

/// The literal that is assigned to the key that ends at `from`. `bare_to`: where the bare literal ends that began last.
fn literal_after(text: &str, from: usize, bare_to: usize) -> Option<Literal> {
    let rest = &text[from..];
    let assigned = rest.trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let value = assigned.trim_start_matches([' ', '\t']);
    let start = text.len() - value.len();
    let quoted = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| value.starts_with(quote));
    let length = match quoted {
        Some(quote) => quote.len() + closing(&value[quote.len()..], quote),
        None if value.starts_with('{') => return None,
        None if start < bare_to => bare_to - start,
        None => value[..value.find([',', '}', '\n', '#']).unwrap_or(value.len())].trim_end().len(),
    };
    let quote = usize::from(quoted.is_some());
    (length > quote).then(|| Literal { range: start + quote..start + length, is_bare: quoted.is_none() })
}

/// Where the string ends; an unclosed one goes to the end of its line, an unclosed long one to the end of the text.
fn closing(value: &str, quote: &str) -> usize {
    let mut from = 0;
    while let Some(at) = value[from..].find(quote).map(|at| at + from) {
        let escapes = value[..at].bytes().rev().take_while(|b| *b == b'\\').count();
        if quote.starts_with('\'') || escapes % 2 == 0 {
            return if quote.len() == 1 { value[..at].find('\n').unwrap_or(at) } else { at };
        }
        from = at + 1;
    }
    if quote.len() == 1 { value.find('\n').unwrap_or(value.len()) } else { value.len() }
}

/// The password in `user:password@host`.
fn password_in_url(text: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let rest = &text[from..];
    let authority = &rest[..rest.find(['/', '"', '\'', ' ', '\n', '\t']).unwrap_or(rest.len())];
    let user_info = &authority[..authority.rfind('@')?];
    let colon = user_info.find(':')?;
    Some(from + colon + 1..from + user_info.len())
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn literal_secrets_are_masked_and_references_are_not() {
        let cases = [
            ("password = \"hunter2\" # x", "password = \"*******\" # x"),
            ("store.password='a\"b'", "store.password='***'"),
            ("a = { hmac_key = \"x\\\"y\", b = 1 }", "a = { hmac_key = \"****\", b = 1 }"),
            ("password = 1234, x", "password = ****, x"),
            ("password = \"open", "password = \"****"),
            ("password = { file = \"/x\" }", "password = { file = \"/x\" }"),
            ("store = \"postgres://u:pw@host/db\"", "store = \"postgres://u:**@host/db\""),
            ("password = \"ü\"", "password = \"**\""),
            ("password = password = x y, z", "password = **************, z"),
            ("password = 'password = \"a' b\" c", "password = '****************\" c"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(text), masked);
        }
    }

    /// Each would take minutes if every key were looked behind to the end.
    #[test]
    fn a_text_full_of_keys_is_masked_at_once() {
        for unit in ["password=", "password=\"", "hmac_key='''", "password=\"\"\"\\", "password = 1 "] {
            let text = unit.repeat((1 << 20) / unit.len());
            assert_eq!(mask(&text).len(), text.len());
        }
    }

    #[test]
    fn long_strings_are_masked_to_their_end() {
        let masked = mask("password = \"\"\"one\ntwo\"\"\"\nname = 1");
        assert!(!masked.contains("one") && !masked.contains("two") && masked.ends_with("name = 1"), "{masked}");
    }
}
