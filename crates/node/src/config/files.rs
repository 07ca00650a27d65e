//! Reads the configuration's files, follows `include`, and puts their tables together.
//!
//! Always holds: each file is read once, however often it is included; sizes and counts are bounded; a table that may stand once stands once.
//!
//! Deliberately not here: what the tables say, but for certificates, whose form is read at once so that their trees need not be kept.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::at::{At, Many};
use super::de::read;
use super::error::{ConfigError, Fault};
use super::nearest::advice;
use super::raw;
use super::source::{Place, Sources};
use super::tree::{self, Entry, Node, Value};

/// Largest configuration file.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most files that one configuration may include.
pub const INCLUDED_FILES_MAX: usize = 1000;

/// How texts begin that are given by mistake and must not be shown: a fleet key, a token, a key in PEM.
const SECRET_BEGINNINGS: [&str; 3] = ["certfleet-fleet-key-", crate::token::PREFIX, "-----BEGIN "];

/// What may stand at the top.
const TABLES: [&str; 11] = ["include", "fleet", "node", "defaults", "issuer", "answer", "admin", "metrics", "log", "certificate", "deploy"];

/// All tables of all files.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// `fleet`, `answer`, `admin`, `metrics`, `log`: what a node's overlay may change, and the log.
    pub(crate) single: Vec<Entry>,
    pub(crate) defaults: Option<Entry>,
    pub(crate) issuers: Vec<Entry>,
    pub(crate) targets: Vec<Entry>,
    pub(crate) overlays: Vec<Entry>,
    pub(crate) certificates: Vec<raw::Certificate>,
    seen: HashMap<String, Place>,
}

/// Reads `path` and what it includes.
pub(crate) fn read_all(path: &Path, sources: &mut Sources) -> Result<Tables, ConfigError> {
    let help = "give the configuration with `--config FILE` or $CERTFLEET_CONFIG";
    let text = read_text(path).map_err(|problem| ConfigError::about_file(path, problem, help))?;
    let mut tables = Tables::default();
    let mut known = HashSet::from([identity(path)]);
    let mut waiting = vec![(path.to_owned(), text)];
    while let Some((path, text)) = waiting.pop() {
        let result = read_one(&path, &text, sources, &mut tables, &mut known);
        waiting.extend(result.map_err(|fault| fault.into_error(sources))?);
    }
    Ok(tables)
}

/// Reads one file and gives those that it includes.
fn read_one(
    path: &Path,
    text: &str,
    sources: &mut Sources,
    tables: &mut Tables,
    known: &mut HashSet<PathBuf>,
) -> Result<Vec<(PathBuf, String)>, Fault> {
    let file = sources.add(path.to_owned(), text);
    let root = tree::parse(file, text)?;
    let Value::Table(entries) = root.value else { return Ok(Vec::new()) };
    let mut included = Vec::new();
    for entry in entries {
        match entry.key.as_str() {
            "include" => included.extend(include(path, &entry.node, known)?),
            _ => tables.add(entry)?,
        }
    }
    Ok(included)
}

impl Tables {
    fn add(&mut self, entry: Entry) -> Result<(), Fault> {
        match entry.key.as_str() {
            "fleet" | "answer" | "admin" | "metrics" | "log" | "defaults" => self.add_single(entry),
            "issuer" | "deploy" | "node" => self.add_named(entry),
            "certificate" => self.add_certificates(&entry.node),
            "dns" => Err(Fault::not_in_this_version(entry.key_place, "`dns`", "this version answers http-01 only; remove the table")),
            unknown => {
                let fault = Fault::at(entry.key_place, format!("unknown table `{}`", unknown.escape_debug()));
                Err(fault.label("unknown table").help(advice(unknown, "valid tables", TABLES)))
            }
        }
    }

    fn add_single(&mut self, entry: Entry) -> Result<(), Fault> {
        expect_table(&entry, &format!("`[{}]` is a table", entry.key))?;
        self.claim(entry.key.clone(), entry.key_place)?;
        if entry.key == "defaults" {
            self.defaults = Some(entry);
        } else {
            self.single.push(entry);
        }
        Ok(())
    }

    fn add_named(&mut self, group: Entry) -> Result<(), Fault> {
        let form = format!("tables of this kind have a name: `[{}.NAME]`", group.key);
        expect_table(&group, &form)?;
        let Value::Table(entries) = group.node.value else { return Ok(()) };
        for entry in entries {
            expect_table(&entry, &form)?;
            self.claim(format!("{}.{}", group.key, entry.key.escape_debug()), entry.key_place)?;
            let list = match group.key.as_str() {
                "issuer" => &mut self.issuers,
                "deploy" => &mut self.targets,
                _ => &mut self.overlays,
            };
            list.push(entry);
        }
        Ok(())
    }

    fn add_certificates(&mut self, node: &Node) -> Result<(), Fault> {
        let Value::Array(items) = &node.value else {
            return Err(Fault::at(node.place, "certificates are a list").help("write `[[certificate]]`, with two brackets"));
        };
        for item in items {
            self.certificates.push(read(item)?);
        }
        Ok(())
    }

    /// A table stands once in all files together.
    fn claim(&mut self, name: String, place: Place) -> Result<(), Fault> {
        let Some(first) = self.seen.insert(name.clone(), place) else { return Ok(()) };
        let fault = Fault::at(place, format!("`[{name}]` stands twice")).label("the second");
        Err(fault.also(first, "the first").help("put both into one table, or remove one"))
    }
}

fn expect_table(entry: &Entry, form: &str) -> Result<(), Fault> {
    if entry.node.is_table() { Ok(()) } else { Err(Fault::at(entry.key_place, form)) }
}

/// The files that one `include` names and that were not read yet.
fn include(from: &Path, node: &Node, known: &mut HashSet<PathBuf>) -> Result<Vec<(PathBuf, String)>, Fault> {
    let patterns: Many<At<String>> = read(node)?;
    let mut files = Vec::new();
    for pattern in patterns.0 {
        for path in expand(from, &pattern)? {
            if !known.insert(identity(&path)) {
                continue;
            }
            if known.len() > INCLUDED_FILES_MAX + 1 {
                return Err(Fault::at(pattern.place, format!("more than {INCLUDED_FILES_MAX} files are included"))
                    .help("put several certificates into one file"));
            }
            let text = read_text(&path).map_err(|problem| Fault::at(pattern.place, format!("{}: {problem}", path.display())))?;
            files.push((path, text));
        }
    }
    // The caller takes from the end.
    files.reverse();
    Ok(files)
}

fn expand(from: &Path, pattern: &At<String>) -> Result<Vec<PathBuf>, Fault> {
    let refuse = |problem: &str, help: &str| Fault::at(pattern.place, problem).help(help);
    let folder = from.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !pattern.value.contains(['*', '?', '[']) {
        return Ok(vec![folder.join(&pattern.value)]);
    }
    if pattern.value.contains("**") {
        return Err(refuse("`**` is not allowed here", "name each folder: `conf.d/*.toml`"));
    }
    let full = if pattern.value.starts_with('/') {
        pattern.value.clone()
    } else {
        let folder = folder.to_str().ok_or_else(|| refuse("the folder's name is not UTF-8", "name the files without `*`"))?;
        format!("{}/{}", glob::Pattern::escape(folder), pattern.value)
    };
    let options = glob::MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, case_sensitive: true };
    let found = glob::glob_with(&full, options).map_err(|error| refuse(error.msg, "a pattern looks like `conf.d/*.toml`"))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| refuse(&error.to_string(), "let the service's user read that folder"))?;
        if path.is_file() {
            files.push(path);
        }
        if files.len() > INCLUDED_FILES_MAX {
            return Err(refuse("this names too many files", "put several certificates into one file"));
        }
    }
    Ok(files)
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn read_text(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    if !metadata.is_file() {
        return Err("this is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("the file cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} MiB; split it with `include`", FILE_BYTES_MAX >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|error| format!("the file is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))?;
    if SECRET_BEGINNINGS.iter().any(|beginning| text.trim_start().starts_with(beginning)) {
        return Err("this is a key or a token, and no configuration".to_owned());
    }
    Ok(text)
}
