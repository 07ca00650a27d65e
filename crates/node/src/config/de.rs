//! From the tree to typed forms with serde, losing no place: whatever a form refuses is marked where it stands.
//!
//! Always holds: a message never repeats a value of the file that a form did not choose to show; an unknown key or word comes with the nearest
//! valid one.
//!
//! Deliberately not here: what is wrong beyond a single value's form.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer, U32Deserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::at::{AT, MANY};
use super::error::Fault;
use super::nearest::advice;
use super::source::Place;
use super::tree::{Entry, Node, Value};

/// Keys that are known, so that they can be refused by name, but are not offered.
const LATER_KEYS: [&str; 7] = ["eab", "limits", "split", "source", "dns", "peers", "run"];

/// Reads a typed form.
pub(crate) fn read<'a, T: Deserialize<'a>>(node: &'a Node) -> Result<T, Fault> {
    T::deserialize(De(node))
}

/// A deserializer over a node, for forms that other crates define.
pub(crate) fn from(node: &Node) -> impl Deserializer<'_, Error = Fault> {
    De(node)
}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut fault = Fault::new(format!("expected {}, found {}", wanted(expected), found(&unexpected)));
        fault.0.is_bare = true;
        fault
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let value = match unexpected {
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            other => found(&other).to_owned(),
        };
        let mut fault = Fault::new(format!("expected {}, found {value}", wanted(expected)));
        fault.0.is_bare = true;
        fault
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let valid = expected.iter().copied().filter(|key| !LATER_KEYS.contains(key));
        let mut fault = Fault::new(format!("unknown key `{}`", field.escape_debug())).help(advice(field, "valid keys", valid));
        fault.0.unknown_key = Some(field.to_owned());
        fault.label("unknown key")
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let help = advice(variant, "valid values", expected.iter().copied());
        let mut fault = Fault::new(format!("`{}` is none of the valid values", variant.escape_debug())).help(help);
        fault.0.is_bare = true;
        fault
    }

    fn missing_field(field: &'static str) -> Self {
        Fault::new(format!("the key `{field}` is missing")).label("in this table")
    }
}

fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "string" => "a string".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "path string" => "a path".to_owned(),
        _ if text.starts_with("struct ") || text.starts_with("tuple struct ") => "a table".to_owned(),
        _ => text,
    }
}

fn found(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        Unexpected::Other("date") => "a date",
        _ => "something else",
    }
}

impl Fault {
    /// Sets the place where it has none: that of the key it is about, else the value's.
    fn within(self, node: &Node) -> Self {
        if self.0.place.is_some() {
            return self;
        }
        let key = self.0.unknown_key.as_deref().and_then(|key| node.entries().iter().find(|entry| entry.key == key));
        let place = key.map_or(node.place, |entry| entry.key_place);
        self.or_at(place)
    }

    pub(crate) fn in_key(mut self, key: &str) -> Self {
        if std::mem::take(&mut self.0.is_bare) {
            self.0.message = format!("`{}`: {}", key.escape_debug(), self.0.message);
        }
        self
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
struct De<'a>(&'a Node);

impl<'de> De<'de> {
    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(flag) => visitor.visit_bool(*flag),
            Value::Datetime => Err(Fault::invalid_type(Unexpected::Other("date"), &visitor)),
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Table(entries) => visitor.visit_map(Entries { rest: entries.iter(), current: None }),
        }
    }
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        self.any(visitor).map_err(|fault| fault.within(node))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Array(_) if name == MANY => self.deserialize_any(visitor),
            _ if name == MANY => visitor.visit_seq(Items(std::slice::from_ref(self.0).iter())),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, name: &'static str, _: usize, visitor: V) -> Result<V::Value, Fault> {
        if name == AT {
            return visitor.visit_seq(Placed { place: self.0.place, step: 0, value: self });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let node = self.0;
        let result = match &node.value {
            Value::String(text) => visitor.visit_enum(StrDeserializer::<Fault>::new(text)),
            Value::Table(entries) if entries.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries { rest: entries.iter(), current: None }))
            }
            _ => {
                let mut fault = Fault::new("expected a string");
                fault.0.is_bare = true;
                Err(fault)
            }
        };
        result.map_err(|fault| fault.within(node))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple map struct identifier
    }
}

/// Reads one key.
#[derive(Clone, Copy)]
struct Key<'a> {
    text: &'a str,
    place: Place,
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text).map_err(|fault: Fault| fault.or_at(self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, name: &'static str, _: usize, visitor: V) -> Result<V::Value, Fault> {
        if name == AT {
            return visitor.visit_seq(Placed { place: self.place, step: 0, value: self });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_enum(StrDeserializer::<Fault>::new(self.text)).map_err(|fault| fault.or_at(self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple map struct
        identifier ignored_any
    }
}

/// What [`At`] reads: three numbers, then the value.
struct Placed<D> {
    place: Place,
    step: u8,
    value: D,
}

impl<'de, D: Deserializer<'de, Error = Fault> + Copy> SeqAccess<'de> for Placed<D> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.step += 1;
        let number = match self.step {
            1 => self.place.file,
            2 => self.place.start,
            3 => self.place.end,
            _ => return seed.deserialize(self.value).map(Some),
        };
        let number: U32Deserializer<Fault> = number.into_deserializer();
        seed.deserialize(number).map(Some)
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(De(node)).map(Some).map_err(|fault| fault.within(node))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key = Key { text: &entry.key, place: entry.key_place };
        seed.deserialize(key).map(Some).map_err(|fault| fault.or_at(entry.key_place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.current.take() else { return Err(Fault::new("a value was read before its key")) };
        seed.deserialize(De(&entry.node)).map_err(|fault| fault.within(&entry.node).in_key(&entry.key))
    }
}
