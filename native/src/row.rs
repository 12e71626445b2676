//! Writes feature rows: JSON and headers, byte for byte as the documents say.

use crate::frame::{write_header, write_record};
use crate::json_object::{FieldValue, FieldValues};
use crate::plan::Plan;
use crate::values::{Value, Values};
use crate::wire::{Calendar, Wire};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const NIGHT_HOUR_MAX: i64 = 6;
/// A Thursday; Monday is 0.
const WEEKDAY_OF_1970_01_01: i64 = 3;
const SATURDAY: i64 = 5;

/// Where the event of a row came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Partition of the event's topic.
    pub partition: u32,
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp, ms since 1970 UTC.
    pub timestamp_ms: i64,
}

/// What a row says.
pub struct Row<'a> {
    /// The event's fields.
    pub event: &'a FieldValues,
    /// The values of each entity.
    pub values: &'a [Values],
    /// Where the event came from.
    pub origin: Origin,
    /// Headers of the event's record that the row has, too, as in a frame.
    pub passed_on: &'a [u8],
    /// Whether the event had been counted before.
    pub is_repeat: bool,
    /// Whether the event belongs to a replay.
    pub is_replay: bool,
    /// When the row was computed, ms since 1970 UTC.
    pub computed_at_ms: i64,
}

/// Appends the frame of a row's record to `out`.
pub fn write_row(
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
    plan: &Plan,
    wire: &Wire,
    row: &Row<'_>,
) {
    let time_ms = row.event[wire.event.time_at].integer();
    let id = row.event[wire.event.id_at].text();
    let headers = &mut scratch.headers;
    headers.clear();
    write_header(headers, "ce_specversion", b"1.0");
    write_header(headers, &wire.type_header, wire.row.event_type.as_bytes());
    write_header(headers, "ce_source", wire.row.source.as_bytes());
    write_header(headers, "content-type", b"application/json");
    write_header(headers, "ce_id", id.as_bytes());
    write_header(headers, "ce_time", instant(time_ms).as_bytes());
    if row.is_replay {
        write_header(headers, &wire.replay_header, b"1");
    }
    headers.extend_from_slice(row.passed_on);
    scratch.json.clear();
    write_json(&mut scratch.json, plan, wire, row, time_ms);
    let key = row.event[wire.event.keys_at[0]].text();
    write_record(out, &wire.row.topic, key, &scratch.headers, &scratch.json);
}

/// Buffers that are used again for each row.
#[derive(Debug, Default)]
pub struct Scratch {
    headers: Vec<u8>,
    json: Vec<u8>,
}

fn write_json(out: &mut Vec<u8>, plan: &Plan, wire: &Wire, row: &Row<'_>, time_ms: i64) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(wire.row.event_name.as_bytes());
    out.extend_from_slice(b"\":{");
    write_event(out, wire, row.event);
    out.extend_from_slice(b"},\"features\":{");
    for (entity, values) in plan.entities.iter().zip(row.values) {
        for (feature, value) in entity.features.iter().zip(&values.values) {
            write_name(out, &feature.name);
            write_value(out, value);
        }
    }
    for feature in &wire.row.on_demand {
        write_name(out, &feature.name);
        write_integer(out, calendar(feature.function, time_ms) as i128);
    }
    out.extend_from_slice(b"},\"approximate\":[");
    let mut is_first = true;
    for (entity, values) in plan.entities.iter().zip(row.values) {
        for (feature, _) in entity
            .features
            .iter()
            .zip(&values.approximate)
            .filter(|(_, &is)| is)
        {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            write_text(out, &feature.name);
        }
    }
    out.extend_from_slice(b"],\"definition_digest\":\"");
    out.extend_from_slice(plan.digest.as_bytes());
    out.extend_from_slice(b"\",\"repeat\":");
    out.extend_from_slice(if row.is_repeat { b"true" } else { b"false" });
    for (name, values) in wire.row.sequence_names.iter().zip(row.values) {
        write_name(out, name);
        write_integer(out, values.sequence as i128);
    }
    out.extend_from_slice(b",\"origin\":{\"partition\":");
    write_integer(out, row.origin.partition as i128);
    out.extend_from_slice(b",\"offset\":");
    write_integer(out, row.origin.offset as i128);
    out.extend_from_slice(b",\"timestamp_ms\":");
    write_integer(out, row.origin.timestamp_ms as i128);
    out.extend_from_slice(b"},\"computed_at_ms\":");
    write_integer(out, row.computed_at_ms as i128);
    out.push(b'}');
}

fn write_event(out: &mut Vec<u8>, wire: &Wire, event: &FieldValues) {
    for (field, value) in wire.event.fields.iter().zip(event) {
        if *value == FieldValue::Absent {
            continue;
        }
        write_name(out, &field.name);
        match value {
            FieldValue::Absent => {}
            FieldValue::Text(text) => write_text(out, text),
            FieldValue::Integer(number) => write_integer(out, *number as i128),
            FieldValue::Boolean(is) => out.extend_from_slice(if *is { b"true" } else { b"false" }),
        }
    }
}

/// Writes a name and its colon, behind a comma unless it is the first of its object.
fn write_name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_text(out, name);
    out.push(b':');
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if text.bytes().any(is_escaped) {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Int(number) => write_integer(out, *number),
        Value::Float(number) => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(*number).as_bytes());
        }
        Value::Null => out.extend_from_slice(b"null"),
    }
}

fn write_integer(out: &mut Vec<u8>, number: i128) {
    match i64::try_from(number) {
        Ok(narrow) => out.extend_from_slice(itoa::Buffer::new().format(narrow).as_bytes()),
        Err(_) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

fn calendar(function: Calendar, time_ms: i64) -> i64 {
    let hour = time_ms.rem_euclid(DAY_MS) / HOUR_MS;
    match function {
        Calendar::Hour => hour,
        Calendar::Night => (hour <= NIGHT_HOUR_MAX) as i64,
        Calendar::Weekend => {
            let weekday = (time_ms.div_euclid(DAY_MS) + WEEKDAY_OF_1970_01_01).rem_euclid(7);
            (weekday >= SATURDAY) as i64
        }
    }
}

/// An instant as `1970-01-01T00:00:00.001Z`.
fn instant(time_ms: i64) -> String {
    let (day, of_day_ms) = (time_ms.div_euclid(DAY_MS), time_ms.rem_euclid(DAY_MS));
    let (year, month, of_month) = civil(day);
    let (hour, minute) = (of_day_ms / HOUR_MS, of_day_ms / 60_000 % 60);
    let (second, ms) = (of_day_ms / 1_000 % 60, of_day_ms % 1_000);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (
        year_of_era + era * 400 + (month <= 2) as i64,
        month,
        of_month,
    )
}
