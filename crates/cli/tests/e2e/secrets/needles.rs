//! What a secret looks like, wherever it may turn up: pieces of it, in every form in which bytes are written down here.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use certfleet_core::encoding::{base64, from_base64};

/// A piece of a secret that is looked for, in bytes: half a P-256 key. A buffer that was freed and used again in part still has one.
const PIECE_BYTES: usize = 16;
/// Shortest piece of a PEM text that is looked for, in characters.
const PEM_CHARS_MIN: usize = 12;
/// Characters in a line of PEM (RFC 7468 section 2).
const PEM_LINE_CHARS: usize = 64;
/// By how many bytes a needle is found in the table.
const HEAD_BYTES: usize = 4;

/// Secrets to look for.
#[derive(Default)]
pub struct Needles {
    names: Vec<String>,
    /// By their first bytes; with the number of the name.
    by_head: HashMap<[u8; HEAD_BYTES], Vec<(usize, Vec<u8>)>>,
    /// Whether a needle begins with these two bytes: most places are passed over by this.
    begins: Vec<bool>,
}

impl Needles {
    /// None yet.
    pub fn new() -> Self {
        Self { begins: vec![false; 1 << 16], ..Self::default() }
    }

    fn add(&mut self, name: &str, needles: impl IntoIterator<Item = Vec<u8>>) {
        let known = self.names.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        for needle in needles {
            let head: [u8; HEAD_BYTES] = needle[..HEAD_BYTES].try_into().expect("a needle is longer than its head");
            self.begins[usize::from(u16::from_be_bytes([head[0], head[1]]))] = true;
            self.by_head.entry(head).or_default().push((number, needle));
        }
    }

    /// Bytes nobody may see.
    pub fn bytes(&mut self, name: &str, secret: &[u8]) {
        for piece in secret.chunks_exact(PIECE_BYTES) {
            self.add(name, forms(piece));
        }
    }

    /// Text nobody may see, and what it is written into: a token is JSON in base64url, with a key in base64url in it.
    pub fn text(&mut self, name: &str, secret: &str) {
        self.bytes(name, secret.as_bytes());
    }

    /// The private parts of a PKCS#8 PEM: its public half is everybody's.
    pub fn pem(&mut self, name: &str, pem: &str) {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = from_base64(&body).expect("PEM is base64");
        let parts = private_parts(&der);
        assert!(!parts.is_empty(), "{name} has nothing to hide");
        for part in parts {
            self.bytes(name, &der[part.clone()]);
            for piece in pem_pieces(&part) {
                self.add(name, text_forms(body[piece].as_bytes()));
            }
        }
    }

    /// The names of those that stand in `bytes`.
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, head) in bytes.windows(HEAD_BYTES).enumerate() {
            if !self.begins[usize::from(u16::from_be_bytes([head[0], head[1]]))] {
                continue;
            }
            let candidates = self.by_head.get(head).into_iter().flatten();
            found.extend(candidates.filter(|(_, needle)| bytes[at..].starts_with(needle)).map(|(number, _)| self.names[*number].clone()));
        }
        found
    }

    /// The names of all.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// As they are, as a number of a little-endian library, hex, a list of numbers, base64.
fn forms(piece: &[u8]) -> Vec<Vec<u8>> {
    let reversed: Vec<u8> = piece.iter().rev().copied().collect();
    let hex = certfleet_core::hash::hex(piece);
    let list = |between: &str| piece.iter().map(u8::to_string).collect::<Vec<_>>().join(between).into_bytes();
    let mut forms = vec![reversed, hex.to_uppercase().into_bytes(), hex.into_bytes(), list(","), list(", ")];
    forms.extend(text_forms(piece));
    forms
}

/// As it is, and in base64 wherever in it it begins.
fn text_forms(piece: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![piece.to_vec()];
    for before in 0..3 {
        let padded = base64(&[&[0; 2][..before], piece].concat());
        // Characters that also say something about the bytes beside it are left out.
        let whole = (before * 8).div_ceil(6)..(before + piece.len()) * 8 / 6;
        let text = &padded[whole];
        forms.push(text.into());
        forms.push(text.replace('+', "-").replace('/', "_").into_bytes());
    }
    forms
}

/// Where the bytes of `part` stand in the body of a PEM, in pieces that no end of a line cuts.
fn pem_pieces(part: &Range<usize>) -> Vec<Range<usize>> {
    let (from, to) = ((part.start * 8).div_ceil(6), part.end * 8 / 6);
    let lines = from / PEM_LINE_CHARS..=to / PEM_LINE_CHARS;
    let pieces = lines.map(|line| from.max(line * PEM_LINE_CHARS)..to.min((line + 1) * PEM_LINE_CHARS));
    pieces.filter(|piece| piece.len() >= PEM_CHARS_MIN).collect()
}

/// Where a PKCS#8 key (RFC 5958) has its secrets: the number of an elliptic curve's key (RFC 5915), all of RSA's but the modulus (RFC 8017).
pub fn private_parts(der: &[u8]) -> Vec<Range<usize>> {
    const INTEGER: u8 = 0x02;
    const OCTETS: u8 = 0x04;
    let outer = values(der, 0..der.len()).remove(0).1;
    let key = values(der, outer).into_iter().find(|(tag, _)| *tag == OCTETS).expect("PKCS#8 has the key in octets").1;
    let key = values(der, key).remove(0).1;
    let long: Vec<_> = values(der, key).into_iter().filter(|(_, range)| range.len() >= PIECE_BYTES).collect();
    let octets = long.iter().filter(|(tag, _)| *tag == OCTETS).map(|(_, range)| range.clone());
    let numbers = long.iter().filter(|(tag, _)| *tag == INTEGER).skip(1).map(|(_, range)| range.clone());
    let unsigned = |range: Range<usize>| if der[range.start] == 0 { range.start + 1..range.end } else { range };
    octets.chain(numbers.map(unsigned)).collect()
}

/// The values in a part of some DER: tags, and where the contents are.
fn values(der: &[u8], within: Range<usize>) -> Vec<(u8, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), within.start);
    while at < within.end {
        let (tag, short) = (der[at], usize::from(der[at + 1]));
        let more = short.saturating_sub(0x80);
        let start = at + 2 + more;
        let length = if more == 0 { short } else { der[at + 2..start].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) };
        found.push((tag, start..start + length));
        at = start + length;
    }
    found
}

#[cfg(test)]
mod tests {
    use certfleet_acme::make_key_and_csr;
    use certfleet_core::encoding::base64url;
    use certfleet_core::spec::KeyType;

    use super::*;

    #[test]
    fn a_key_is_found_in_every_form() {
        for (kind, parts) in [(KeyType::EcdsaP256, 1), (KeyType::EcdsaP384, 1), (KeyType::Rsa2048, 6)] {
            let made = make_key_and_csr(kind, &["example.com".parse().expect("a name")]).expect("a key");
            let pem = made.key_pem.expose_text().expect("text");
            let der = from_base64(&pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).expect("base64");
            assert_eq!(private_parts(&der).len(), parts, "{kind:?}");
            let mut needles = Needles::new();
            needles.pem("key", pem);
            let part = &der[private_parts(&der)[0].clone()];
            let reversed: Vec<u8> = part.iter().rev().copied().collect();
            let forms = [pem.as_bytes().to_vec(), der.clone(), part.to_vec(), reversed, format!("{part:?}").into_bytes()];
            let json = serde_json::to_vec(part).expect("JSON");
            let texts = [base64(pem.as_bytes()), base64url(&[b"x", &der[..]].concat()), certfleet_core::hash::hex(part)];
            for form in forms.into_iter().chain([json]).chain(texts.map(String::into_bytes)) {
                assert!(!needles.found_in(&form).is_empty(), "{kind:?}: {}", String::from_utf8_lossy(&form));
            }
            assert!(needles.found_in(&made.csr_der).is_empty() && needles.found_in(base64(&made.csr_der).as_bytes()).is_empty());
        }
    }

    #[test]
    fn half_a_secret_is_enough() {
        let secret: Vec<u8> = (1..=32).map(|n| n * 7).collect();
        let mut needles = Needles::new();
        needles.bytes("seed", &secret);
        assert_eq!(needles.found_in(&secret[16..]).len(), 1);
        assert_eq!(needles.found_in(&secret[17..]).len(), 0);
        assert_eq!(needles.names(), ["seed"]);
    }
}
