//! What comes of a batch, as the bytes that the operator reads.
//!
//! ```text
//! u32 changes, each:  u8 entity  u8 operation ('A' append, 'R' replace)  u16 key  i32 entry
//! u32 emitted, each:  u16 key  i32 element
//! ```
//!
//! All integers are big-endian; keys and elements follow their lengths. Both parts are written where
//! they will stay, into buffers that are used again: a vector for each row would be allocated and
//! freed for each event, and at 2 kB that is slow.

const APPEND: u8 = b'A';
const REPLACE: u8 = b'R';

/// Changes of journals, and what is emitted, both in the order of the records.
#[derive(Debug, Default)]
pub struct Outcome {
    changes: Part,
    emitted: Part,
}

#[derive(Debug, Default)]
struct Part {
    count: u32,
    bytes: Vec<u8>,
}

impl Outcome {
    /// Begins the outcome of another batch.
    pub fn clear(&mut self) {
        for part in [&mut self.changes, &mut self.emitted] {
            part.count = 0;
            part.bytes.clear();
        }
    }

    /// Adds an entry to a key's journal, or replaces all its entries by a snapshot.
    pub fn store(&mut self, entity: usize, key: &str, entry: &[u8], snapshot: Option<&[u8]>) {
        let (operation, entry) = match snapshot {
            None => (APPEND, entry),
            Some(snapshot) => (REPLACE, snapshot),
        };
        let Part { count, bytes } = &mut self.changes;
        *count += 1;
        bytes.extend_from_slice(&[entity as u8, operation]);
        write_key(bytes, key);
        bytes.extend_from_slice(&(entry.len() as i32).to_be_bytes());
        bytes.extend_from_slice(entry);
    }

    /// Emits what `write` appends. `key`: what it is routed by; empty for a record to produce.
    pub fn emit(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let Part { count, bytes } = &mut self.emitted;
        *count += 1;
        write_key(bytes, key);
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        write(bytes);
        let length = (bytes.len() - length_at - 4) as i32;
        bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// How many bytes it has.
    pub fn bytes_len(&self) -> usize {
        8 + self.changes.bytes.len() + self.emitted.bytes.len()
    }

    /// Writes it over all of `out`, which has as many bytes as it has.
    pub fn copy_to(&self, out: &mut [u8]) {
        let mut rest = out;
        for part in [&self.changes, &self.emitted] {
            for bytes in [&part.count.to_be_bytes()[..], &part.bytes] {
                let (start, end) = rest.split_at_mut(bytes.len());
                start.copy_from_slice(bytes);
                rest = end;
            }
        }
    }
}

/// Writes a key behind its length as u16.
pub fn write_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(key.as_bytes());
}
