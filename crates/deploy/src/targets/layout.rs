//! Which files a certificate becomes: a directory as certbot's `live/NAME`, or one file with everything in it.

use std::path::PathBuf;

use certfleet_core::names::{CertName, NodeName, TargetName};
use certfleet_core::secret::Secret;
use serde::{Deserialize, Deserializer};

use crate::disk::Wanted;
use crate::driver::Pem;
use crate::owner::Owner;
use crate::template::PathTemplate;

/// Mode of files with a key in them, unless configured.
const KEY_MODE: u32 = 0o600;
/// Mode of the others.
const PUBLIC_MODE: u32 = 0o644;

/// `mode` of a target: `"0640"`, or TOML's `0o640`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a file mode is wanted, for example \"0640\" or 0o640")]
        enum Form {
            Text(String),
            Number(u32),
        }
        let mode = match Form::deserialize(deserializer)? {
            Form::Text(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
            Form::Number(number) => Some(number),
        };
        // No set-id bits, nothing to execute, nothing for others to write; and the owner reads.
        let mode = mode.filter(|mode| mode & !0o664 == 0 && mode & 0o400 != 0).map(Self);
        mode.ok_or_else(|| {
            serde::de::Error::custom("a file mode such as \"0600\" or \"0640\" is wanted: read and write bits, others may at most read")
        })
    }
}

/// Where files go, and to whom they belong.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub place: Place,
    pub mode: Option<Mode>,
    pub owner: Owner,
    pub target: TargetName,
}

/// The forms that certificates take on disk.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// `fullchain.pem`, `privkey.pem`, `cert.pem`, `chain.pem` in a directory.
    Dir(PathTemplate),
    /// Key and chain in one file.
    Combined(PathTemplate),
    /// Chain and key in one file, without blank lines.
    Bundle(PathTemplate),
}

impl Layout {
    /// Exactly one of `dir` and `combined` must be there.
    pub fn validate(dir: Option<&PathTemplate>, combined: Option<&PathTemplate>) -> Result<(), String> {
        match (dir, combined) {
            (Some(dir), None) => dir.validate("dir"),
            (None, Some(combined)) => combined.validate("combined"),
            (None, None) => Err("either `dir` or `combined` is wanted: where do the files go?".into()),
            (Some(_), Some(_)) => Err("`dir` and `combined` do not go together; make two targets".into()),
        }
    }

    /// The files of one certificate.
    pub fn files(&self, cert: &CertName, node: &NodeName, pem: Pem<'_>) -> Vec<Wanted> {
        match &self.place {
            Place::Dir(dir) => self.directory(dir.path(cert, node), pem),
            Place::Combined(path) => vec![self.secret(path.path(cert, node), &[pem.key.expose(), pem.chain.as_bytes()])],
            Place::Bundle(path) => vec![self.secret(path.path(cert, node), &[pem.chain.as_bytes(), pem.key.expose()])],
        }
    }

    fn directory(&self, dir: PathBuf, pem: Pem<'_>) -> Vec<Wanted> {
        let (leaf, issuers) = split(pem.chain);
        vec![
            self.secret(dir.join("privkey.pem"), &[pem.key.expose()]),
            self.public(dir.join("fullchain.pem"), pem.chain),
            self.public(dir.join("cert.pem"), leaf),
            self.public(dir.join("chain.pem"), issuers),
        ]
    }

    fn secret(&self, path: PathBuf, parts: &[&[u8]]) -> Wanted {
        self.wanted(path, parts, self.mode.map_or(KEY_MODE, |mode| mode.0))
    }

    fn public(&self, path: PathBuf, text: &str) -> Wanted {
        self.wanted(path, &[text.as_bytes()], self.mode.map_or(PUBLIC_MODE, |mode| mode.0))
    }

    fn wanted(&self, path: PathBuf, parts: &[&[u8]], mode: u32) -> Wanted {
        Wanted { path, content: join(parts), mode, owner: self.owner, tag: self.target.to_string() }
    }
}

/// The parts one after the other, blank lines left out, each line ended. Sized first, so that no copy of a key is left behind by growing.
fn join(parts: &[&[u8]]) -> Secret {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    let lines = parts.iter().flat_map(|part| part.split(|byte| *byte == b'\n'));
    for line in lines.map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
        joined.extend_from_slice(line);
        joined.push(b'\n');
    }
    Secret::new(joined)
}

/// The leaf, and what follows it.
fn split(chain: &str) -> (&str, &str) {
    const END: &str = "-----END CERTIFICATE-----";
    let end = chain.find(END).map_or(chain.len(), |at| at + END.len());
    chain.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_sane() {
        let read = |json: &str| serde_json::from_str::<Mode>(json).map(|mode| mode.0);
        assert_eq!(read("\"0640\"").expect("text"), 0o640);
        assert_eq!(read("416").expect("a number"), 0o640);
        for bad in ["\"0666\"", "\"0755\"", "\"640x\"", "\"4600\"", "\"0040\"", "true"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_chain_is_split_after_the_leaf_and_blank_lines_go() {
        let chain =
            "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\r\n\n-----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----";
        let (leaf, rest) = split(chain);
        assert!(leaf.contains('A') && !leaf.contains("\nB") && rest.contains("\nB"));
        let joined = join(&[b"KEY\n", chain.as_bytes()]);
        let text = joined.expose_text().expect("text");
        assert!(text.starts_with("KEY\n-----BEGIN") && text.ends_with("-----\n") && !text.contains("\n\n") && !text.contains('\r'));
    }
}
