//! The content of an event as the state of its key remembers it, so that the row of a repeat says
//! what the row of the first delivery said.
//!
//! A state keeps time, value and distinct value as such. The other fields, but for the id and the
//! key, are its rest: one text, its parts separated by a control character, which no field has.
//!
//! ```text
//! part: "" absent   t<text>   i<integer>   b0 or b1
//! ```

use crate::identity::Content;
use crate::json_object::{FieldValue, FieldValues};
use crate::wire::EventWire;

const SEPARATOR: char = '\x1f';

/// Writes the rest of an event for an entity, over what was in `out`.
pub fn write_rest(out: &mut String, wire: &EventWire, entity: usize, fields: &FieldValues) {
    out.clear();
    for (position, &at) in wire.rest_at[entity].iter().enumerate() {
        if position > 0 {
            out.push(SEPARATOR);
        }
        match &fields[at] {
            FieldValue::Absent => {}
            FieldValue::Text(text) => {
                out.push('t');
                out.push_str(text);
            }
            FieldValue::Integer(number) => {
                out.push('i');
                out.push_str(itoa::Buffer::new().format(*number));
            }
            FieldValue::Boolean(is) => out.push_str(if *is { "b1" } else { "b0" }),
        }
    }
}

/// Gives an event the content of another one of the same id and key.
pub fn replace(fields: &mut FieldValues, wire: &EventWire, entity: usize, content: &Content<'_>) {
    fields[wire.time_at] = FieldValue::Integer(content.time_ms);
    fields[wire.value_at] = FieldValue::Integer(content.value);
    if let Some(at) = wire.distinct_at[entity] {
        fields[at] = FieldValue::Text(content.distinct.into());
    }
    for (&at, part) in wire.rest_at[entity].iter().zip(parts(content)) {
        if let Some(value) = value_of(part) {
            fields[at] = value;
        }
    }
}

/// The text of a field in a content; `None` if it is not there: the id and the key, for example.
pub fn text<'a>(
    wire: &EventWire,
    entity: usize,
    content: &Content<'a>,
    at: usize,
) -> Option<&'a str> {
    if wire.distinct_at[entity] == Some(at) {
        return Some(content.distinct);
    }
    let position = wire.rest_at[entity].iter().position(|&rest| rest == at)?;
    parts(content).nth(position)?.strip_prefix('t')
}

fn parts<'a>(content: &Content<'a>) -> impl Iterator<Item = &'a str> {
    content.rest.split(SEPARATOR)
}

fn value_of(part: &str) -> Option<FieldValue> {
    match part.split_at_checked(1) {
        None if part.is_empty() => Some(FieldValue::Absent),
        Some(("t", text)) => Some(FieldValue::Text(text.into())),
        Some(("i", digits)) => digits.parse().ok().map(FieldValue::Integer),
        Some(("b", is)) => Some(FieldValue::Boolean(is == "1")),
        _ => None,
    }
}
