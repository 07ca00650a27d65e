//! Values as a stranger would write them: one field changed.

use certfleet_core::envelope::Envelope;
use serde_json::{Value, json};

/// Where a value's fields are, the deepest ones: JSON pointers (RFC 6901).
pub fn fields(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, String::new(), &mut found);
    found
}

fn collect(value: &Value, at: String, found: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, field)| collect(field, format!("{at}/{}", escaped(name)), found));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(place, item)| collect(item, format!("{at}/{place}"), found));
        }
        _ => found.push(at),
    }
}

/// The value with another field there, of the same kind where that is possible.
pub fn changed(value: &Value, field: &str) -> Value {
    let mut changed = value.clone();
    let place = changed.pointer_mut(field).expect("the field is there");
    *place = other(place);
    changed
}

fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(other_text(text)),
        Value::Number(number) => number.as_u64().map_or_else(|| json!(1), |number| json!(number.wrapping_add(1))),
        Value::Bool(flag) => json!(!flag),
        Value::Null => json!("2030-01-01T00:00:00Z"),
        Value::Array(_) => json!(["x"]),
        Value::Object(_) => json!({ "x": 1 }),
    }
}

/// One character becomes another of its kind: what was a hash, a name or a base64 text still is one.
fn other_text(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric();
    let Some((at, last)) =
        text.char_indices().filter(|(_, c)| is_plain(c)).nth(text.len() / 2).or_else(|| text.char_indices().rfind(|(_, c)| is_plain(c)))
    else {
        return "x".into();
    };
    let next = match last {
        '9' => '0',
        'f' => 'a',
        'F' => 'A',
        'z' => 'g',
        'Z' => 'G',
        other => char::from(other as u8 + 1),
    };
    format!("{}{next}{}", &text[..at], &text[at + 1..])
}

/// An envelope with one field changed, its own or one of its record's.
pub fn envelope(original: &Envelope, field: &str) -> Envelope {
    let value = serde_json::to_value(original).expect("an envelope is JSON");
    let forged = serde_json::from_value(changed(&value, field)).unwrap_or_else(|error| panic!("{field}: {error}"));
    assert_ne!(&forged, original, "{field}");
    forged
}

#[test]
fn every_field_of_a_value_is_changed_alone() {
    let value = json!({ "a": "n1", "b": { "c/d": [1, true] }, "e": null, "f": [] });
    let fields = fields(&value);
    assert_eq!(fields, ["/a", "/b/c~1d/0", "/b/c~1d/1", "/e", "/f"]);
    for field in &fields {
        let changed = changed(&value, field);
        let differing: Vec<&String> = fields.iter().filter(|field| changed.pointer(field) != value.pointer(field)).collect();
        assert_eq!(differing, [field]);
    }
}
