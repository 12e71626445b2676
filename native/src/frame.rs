//! One Kafka record as one array of bytes: how records cross between the JVM and the engine.
//!
//! ```text
//! 'R'  partition u32  offset i64  timestamp i64      (all big-endian; -1: none)
//! lengths i32 of topic, key, headers, value          (-1: null, for key and value)
//! topic, key, headers, value
//! headers = (lengths i32 of name and value, name, value)*
//! ```
//!
//! The twins of this module are streams/jvm/weir/RecordFrame.java and
//! streams/velocity/record_frame.py.

use crate::error::{EngineError, Result};

/// What a record frame begins with.
pub const MAGIC: u8 = b'R';
const HEAD_BYTES: usize = 1 + 4 + 8 + 8 + 4 * 4;
const NO_PARTITION: u32 = u32::MAX;

/// A record as it lies in a frame.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its topic, UTF-8.
    pub topic: &'a [u8],
    /// Partition of the topic.
    pub partition: u32,
    /// Offset in the partition.
    pub offset: i64,
    /// Kafka's timestamp, ms since 1970 UTC; -1 without one.
    pub timestamp_ms: i64,
    /// The headers, still encoded.
    pub headers: &'a [u8],
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Reads a frame.
    pub fn parse(frame: &'a [u8]) -> Result<Self> {
        let broken = || {
            let start = frame[..frame.len().min(4)].escape_ascii().to_string();
            EngineError::Value(format!(
                "a record frame of {} bytes that begins {start}",
                frame.len()
            ))
        };
        if frame.len() < HEAD_BYTES || frame[0] != MAGIC {
            return Err(broken());
        }
        let length = |position: usize| i32_at(frame, 21 + 4 * position);
        let topic_end = HEAD_BYTES + length(0).max(0) as usize;
        let headers_at = topic_end + length(1).max(0) as usize;
        let value_at = headers_at + length(2).max(0) as usize;
        let end = value_at + length(3).max(0) as usize;
        if end != frame.len() {
            return Err(broken());
        }
        Ok(Record {
            topic: &frame[HEAD_BYTES..topic_end],
            partition: i32_at(frame, 1) as u32,
            offset: i64_at(frame, 5),
            timestamp_ms: i64_at(frame, 13),
            headers: &frame[headers_at..value_at],
            value: (length(3) >= 0).then(|| &frame[value_at..]),
        })
    }

    /// The last header of a name, as Kafka's own `lastHeader`: `None` without one, the value is
    /// `None` where it is null.
    pub fn last_header(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        let mut found = None;
        let mut at = 0;
        while at + 8 <= self.headers.len() {
            let name_at = at + 8;
            let value_at = name_at + i32_at(self.headers, at).max(0) as usize;
            let value_length = i32_at(self.headers, at + 4);
            at = value_at + value_length.max(0) as usize;
            if self.headers.get(name_at..value_at) == Some(name) {
                found = Some((value_length >= 0).then(|| &self.headers[value_at..at]));
            }
        }
        found
    }
}

/// Writes the frame of a record to produce; Kafka's client chooses partition and timestamp.
pub fn write_record(out: &mut Vec<u8>, topic: &str, key: &str, headers: &[u8], value: &[u8]) {
    out.push(MAGIC);
    out.extend_from_slice(&NO_PARTITION.to_be_bytes());
    out.extend_from_slice(&(-1i64).to_be_bytes());
    out.extend_from_slice(&(-1i64).to_be_bytes());
    for length in [topic.len(), key.len(), headers.len(), value.len()] {
        out.extend_from_slice(&(length as i32).to_be_bytes());
    }
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(value);
}

/// Writes one header.
pub fn write_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(&(name.len() as i32).to_be_bytes());
    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value);
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    let mut four = [0u8; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(four)
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut eight = [0u8; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(eight)
}
