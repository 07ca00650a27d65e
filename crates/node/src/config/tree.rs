//! TOML as a tree in which every key and value knows its place.
//!
//! Always holds: values are as written; depth is bounded by the parser.
//!
//! Deliberately not here: what keys mean.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Fault;
use super::source::Place;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// An empty table.
    pub(crate) fn empty(place: Place) -> Self {
        Self { place, value: Value::Table(Vec::new()) }
    }

    /// The entries, if it is a table.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The value of `key`, if it is a table that has one.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// Sets a value at a path of keys; what is no table on the way is replaced by one.
    pub(crate) fn set(&mut self, path: &[&str], entry: &Entry) {
        let Some((key, rest)) = path.split_first() else {
            *self = entry.node.clone();
            return;
        };
        if !self.is_table() {
            *self = Node::empty(entry.key_place);
        }
        let Value::Table(entries) = &mut self.value else { return };
        let index = entries.iter().position(|e| e.key == *key).unwrap_or(entries.len());
        if index == entries.len() {
            entries.push(Entry { key: (*key).to_owned(), key_place: entry.key_place, node: Node::empty(entry.key_place) });
        }
        entries[index].key_place = if rest.is_empty() { entry.key_place } else { entries[index].key_place };
        entries[index].node.set(rest, entry);
    }
}

/// Parses one file.
pub(crate) fn parse(file: u32, text: &str) -> Result<Node, Fault> {
    let document = DeTable::parse(text).map_err(|error| {
        let message = format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
        let fault = Fault::new(message).help("the format is described at https://toml.io");
        match error.span() {
            Some(span) => fault.or_at(Place::new(file, span)),
            None => fault,
        }
    })?;
    let span = document.span();
    table(file, document.into_inner(), Place::new(file, span))
}

fn table(file: u32, entries: DeTable<'_>, place: Place) -> Result<Node, Fault> {
    let entries = entries.into_iter().map(|(key, value)| {
        let key_place = Place::new(file, key.span());
        Ok(Entry { key: key.into_inner().into_owned(), key_place, node: node(file, value)? })
    });
    let mut entries = entries.collect::<Result<Vec<_>, Fault>>()?;
    entries.sort_by_key(|entry| entry.key_place);
    Ok(Node { place, value: Value::Table(entries) })
}

fn node(file: u32, value: Spanned<DeValue<'_>>) -> Result<Node, Fault> {
    let place = Place::new(file, value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| Fault::at(place, "this number is too large"))?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().map_err(|_| Fault::at(place, "this number cannot be represented"))?),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(file, item)).collect::<Result<_, _>>()?),
        DeValue::Table(entries) => return table(file, entries, place),
    };
    Ok(Node { place, value })
}
