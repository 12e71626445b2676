//! What flows between the operators of a job: decoded events and labels, and records to produce.
//!
//! Within one operator items stay in memory; between two operators they are bytes.
//!
//! ```text
//! 'E'  flags u8  partition u32  offset i64  timestamp i64  passed on  fields  values*
//! 'L'  fields
//! 'D'  a record frame to produce, as it is
//!      passed on = length u32, headers as in a frame
//!      values: of the entities that the event has met, in their order
//! ```
//!
//! The values stay bytes until the row is written, all those of a batch in one place. As objects
//! they would be allocated and freed for each event, which costs more than reading them.

use std::ops::Range;

use crate::error::{EngineError, Result};
use crate::json_object::{FieldValue, FieldValues};
use crate::row::Origin;
use crate::values::{Value, Values};

/// One thing on its way through the job.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event.
    Event(EventItem),
    /// A label.
    Label(FieldValues),
    /// A record to produce: a dead letter.
    Record(Vec<u8>),
}

/// An event on its way.
#[derive(Debug, Clone)]
pub struct EventItem {
    /// Its fields.
    pub fields: FieldValues,
    /// Where it came from.
    pub origin: Origin,
    /// Headers of its record that its row has, too, as in a frame.
    pub passed_on: Vec<u8>,
    /// Whether it belongs to a replay.
    pub is_replay: bool,
    /// Whether it had been counted before.
    pub is_repeat: bool,
    /// Where the batch has the values of the entities that it met in other operators.
    pub met: Range<usize>,
}

/// What the bytes of an item may begin with.
pub const EVENT: u8 = b'E';
const LABEL: u8 = b'L';
const RECORD: u8 = b'D';
const REPLAY: u8 = 1;
const REPEAT: u8 = 2;

impl EventItem {
    /// Writes an event for the next operator: what it brought, `met`, and the values of the entities
    /// that it has met here.
    pub fn encode(&self, out: &mut Vec<u8>, met: &[u8], values: &[Values]) {
        out.push(EVENT);
        out.push((REPLAY * self.is_replay as u8) | (REPEAT * self.is_repeat as u8));
        out.extend_from_slice(&self.origin.partition.to_be_bytes());
        out.extend_from_slice(&self.origin.offset.to_be_bytes());
        out.extend_from_slice(&self.origin.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&(self.passed_on.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.passed_on);
        write_fields(out, &self.fields);
        out.extend_from_slice(met);
        for values in values {
            write_values(out, values);
        }
    }
}

/// Writes a label for the next operator.
pub fn encode_label(out: &mut Vec<u8>, fields: &FieldValues) {
    out.push(LABEL);
    write_fields(out, fields);
}

/// Writes a record to produce for the next operator.
pub fn encode_record(out: &mut Vec<u8>, frame: &[u8]) {
    out.push(RECORD);
    out.extend_from_slice(frame);
}

impl Item {
    /// Reads what one of the functions above wrote; the values of an event are added to `met`.
    pub fn decode(bytes: &[u8], met: &mut Vec<u8>) -> Result<Item> {
        let mut reader = Reader { bytes, at: 1 };
        match bytes.first() {
            Some(&RECORD) => Ok(Item::Record(bytes[1..].to_vec())),
            Some(&LABEL) => Ok(Item::Label(reader.fields()?)),
            Some(&EVENT) => {
                let [flags] = reader.array()?;
                let origin = Origin {
                    partition: u32::from_be_bytes(reader.array()?),
                    offset: i64::from_be_bytes(reader.array()?),
                    timestamp_ms: i64::from_be_bytes(reader.array()?),
                };
                let passed_on = reader.bytes()?.to_vec();
                let fields = reader.fields()?;
                let start = met.len();
                met.extend_from_slice(&bytes[reader.at..]);
                Ok(Item::Event(EventItem {
                    fields,
                    origin,
                    passed_on,
                    is_replay: flags & REPLAY != 0,
                    is_repeat: flags & REPEAT != 0,
                    met: start..met.len(),
                }))
            }
            _ => Err(reader.broken()),
        }
    }
}

/// Reads the values of the entities that an event has met, and adds them to `out`.
pub fn read_met(bytes: &[u8], out: &mut Vec<Values>) -> Result<()> {
    let mut reader = Reader { bytes, at: 0 };
    while reader.at < bytes.len() {
        out.push(reader.values()?);
    }
    Ok(())
}

fn write_fields(out: &mut Vec<u8>, fields: &FieldValues) {
    out.push(fields.len() as u8);
    for field in fields {
        match field {
            FieldValue::Absent => out.push(0),
            FieldValue::Text(text) => {
                out.push(1);
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            FieldValue::Integer(number) => {
                out.push(2);
                out.extend_from_slice(&number.to_be_bytes());
            }
            FieldValue::Boolean(is) => out.push(3 + *is as u8),
        }
    }
}

fn write_values(out: &mut Vec<u8>, values: &Values) {
    out.extend_from_slice(&values.sequence.to_be_bytes());
    out.push(values.values.len() as u8);
    for (value, is_approximate) in values.values.iter().zip(&values.approximate) {
        out.push(*is_approximate as u8);
        match value {
            Value::Null => out.push(0),
            Value::Int(number) => match i64::try_from(*number) {
                Ok(narrow) => {
                    out.push(1);
                    out.extend_from_slice(&narrow.to_be_bytes());
                }
                Err(_) => {
                    out.push(3);
                    out.extend_from_slice(&number.to_be_bytes());
                }
            },
            Value::Float(number) => {
                out.push(2);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn broken(&self) -> EngineError {
        EngineError::Value(format!(
            "an item of {} bytes cannot be read at byte {}",
            self.bytes.len(),
            self.at
        ))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self
            .bytes
            .get(self.at..self.at + N)
            .and_then(|bytes| bytes.try_into().ok());
        self.at += N;
        found.ok_or_else(|| self.broken())
    }

    /// A length u32 and so many bytes.
    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        let end = self.at.saturating_add(length);
        let found = self.bytes.get(self.at..end).ok_or_else(|| self.broken())?;
        self.at = end;
        Ok(found)
    }

    fn fields(&mut self) -> Result<FieldValues> {
        let [count] = self.array()?;
        (0..count)
            .map(|_| match self.array()? {
                [0] => Ok(FieldValue::Absent),
                [1] => {
                    let bytes = self.bytes()?;
                    let text = std::str::from_utf8(bytes).map_err(|_| self.broken())?;
                    Ok(FieldValue::Text(text.into()))
                }
                [2] => Ok(FieldValue::Integer(i64::from_be_bytes(self.array()?))),
                [3] => Ok(FieldValue::Boolean(false)),
                [4] => Ok(FieldValue::Boolean(true)),
                _ => Err(self.broken()),
            })
            .collect()
    }

    fn values(&mut self) -> Result<Values> {
        let sequence = u64::from_be_bytes(self.array()?);
        let [count] = self.array()?;
        let mut values = Values {
            values: Default::default(),
            approximate: Default::default(),
            sequence,
            is_repeat: false,
        };
        for _ in 0..count {
            let [is_approximate, tag] = self.array()?;
            values.approximate.push(is_approximate != 0);
            values.values.push(match tag {
                0 => Value::Null,
                1 => Value::Int(i64::from_be_bytes(self.array()?) as i128),
                2 => Value::Float(f64::from_be_bytes(self.array()?)),
                3 => Value::Int(i128::from_be_bytes(self.array()?)),
                _ => return Err(self.broken()),
            });
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn values(sequence: u64, of: &[Value]) -> Values {
        Values {
            values: of.iter().copied().collect(),
            approximate: of.iter().map(|value| *value == Value::Null).collect(),
            sequence,
            is_repeat: false,
        }
    }

    fn event() -> EventItem {
        let long = "a text that is longer than the 24 bytes that are kept in place";
        EventItem {
            fields: smallvec![
                FieldValue::Text("ü".into()),
                FieldValue::Text(long.into()),
                FieldValue::Integer(i64::MAX),
                FieldValue::Boolean(true),
                FieldValue::Absent,
            ],
            origin: Origin {
                partition: 3,
                offset: 1 << 40,
                timestamp_ms: -1,
            },
            passed_on: b"headers".to_vec(),
            is_replay: true,
            is_repeat: false,
            met: 0..0,
        }
    }

    fn decoded(bytes: &[u8], met: &mut Vec<u8>) -> EventItem {
        match Item::decode(bytes, met) {
            Ok(Item::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_brings_the_values_of_all_operators_before() {
        let beyond_64_bits = i64::MAX as i128 + 1;
        let first = values(
            7,
            &[Value::Int(-5), Value::Int(beyond_64_bits), Value::Null],
        );
        let second = values(u64::MAX, &[Value::Float(0.1), Value::Int(i128::MIN)]);
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        event().encode(&mut bytes, &[], std::slice::from_ref(&first));
        // As of an event before it in the batch.
        let mut met = b"before".to_vec();
        let between = decoded(&bytes, &mut met);
        between.encode(
            &mut again,
            &met[between.met.clone()],
            std::slice::from_ref(&second),
        );
        let last = decoded(&again, &mut met);
        assert_eq!(last.fields, event().fields);
        assert_eq!(last.passed_on, event().passed_on);
        assert_eq!((last.is_replay, last.is_repeat), (true, false));
        let mut read = Vec::new();
        read_met(&met[last.met], &mut read).expect("values");
        let found: Vec<_> = read.iter().map(|of| (&of.values, of.sequence)).collect();
        let wanted = [&first, &second].map(|of| (&of.values, of.sequence));
        assert_eq!(found, wanted);
        assert_eq!(read[0].approximate, first.approximate);
    }

    #[test]
    fn bytes_that_are_cut_off_are_refused() {
        let mut bytes = Vec::new();
        event().encode(&mut bytes, &[], &[values(1, &[Value::Int(1)])]);
        bytes.pop();
        let mut met = Vec::new();
        let item = decoded(&bytes, &mut met);
        assert!(read_met(&met[item.met], &mut Vec::new()).is_err());
        assert!(Item::decode(&bytes[..40], &mut met).is_err());
        assert!(Item::decode(b"?", &mut met).is_err());
    }
}
