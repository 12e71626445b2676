//! The bytes of a state: a header, then sections of integers and texts.
//!
//! Compact and canonical: equal states give equal bytes, on every machine. The format is little
//! endian; integers are written as narrow as the largest of a section allows.

use std::sync::Arc;

use ahash::AHashMap;

use crate::error::{EngineError, Result};
use crate::limits::Limits;
use crate::windows::{check_time, TIME_MS_MAX};

/// Version of the format; another one is refused.
pub const FORMAT_VERSION: u8 = 1;
const MAGIC: &[u8; 2] = b"WS";
const HEADER_BYTES: usize = 2 + 1 + 1 + 1 + 8 + 8 + 1 + 8;
const WIDE: u8 = 16;
const NARROW_MAX: i128 = 2 * TIME_MS_MAX as i128;

/// The forms of a state's bytes: the durable one, and smaller ones that are only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Everything. Form 0, which earlier versions wrote, lacks the content of first deliveries.
    Durable = 3,
    /// Written by earlier versions, still read: exact as of the newest event or later.
    OnlineAtNewest = 1,
    /// Exact as of up to the lateness before the newest event, too.
    Online = 2,
}

impl Form {
    fn from_byte(byte: u8) -> Result<Form> {
        match byte {
            1 => Ok(Form::OnlineAtNewest),
            2 => Ok(Form::Online),
            3 => Ok(Form::Durable),
            _ => Err(EngineError::StateBytes(format!(
                "state in form {byte}, this process reads (1, 2, 3); a lower form is of an earlier \
                 version: rebuild the state from the logs; a higher one of a later: update this \
                 process"
            ))),
        }
    }

    /// Whether it is one of the smaller forms.
    pub fn is_online(self) -> bool {
        self != Form::Durable
    }

    /// How much older than the newest event a read may be and still be exact, ms.
    pub fn lateness_ms(self, limits: &Limits) -> i64 {
        match self {
            Form::OnlineAtNewest => 0,
            Form::Durable | Form::Online => limits.lateness_ms,
        }
    }
}

/// What the bytes of every state begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which entity, one byte.
    pub kind: u8,
    /// Which form the bytes have.
    pub form: Form,
    /// How many changes the state has seen.
    pub sequence: u64,
    /// Newest event time, ms since 1970 UTC; `None` before the first event.
    pub newest_ms: Option<i64>,
}

/// Writes format, digest and header.
pub fn pack_header(out: &mut Vec<u8>, header: &Header, digest: &[u8; 8]) {
    out.extend_from_slice(MAGIC);
    out.push(FORMAT_VERSION);
    out.push(header.kind);
    out.push(header.form as u8);
    out.extend_from_slice(digest);
    out.extend_from_slice(&header.sequence.to_le_bytes());
    out.push(header.newest_ms.is_some() as u8);
    out.extend_from_slice(&header.newest_ms.unwrap_or(0).to_le_bytes());
}

/// Writes integers from 0 to 2^127 - 1, as narrow as the largest allows.
pub fn pack_ints<I>(out: &mut Vec<u8>, values: I) -> Result<()>
where
    I: Iterator<Item = i128> + Clone,
{
    let (mut count, mut all_bits) = (0u32, 0u128);
    for value in values.clone() {
        if value < 0 {
            return Err(EngineError::Value(format!(
                "an integer {value} of a state, limit 0"
            )));
        }
        count += 1;
        all_bits |= value as u128;
    }
    let width = match all_bits {
        bits if bits >> 8 == 0 => 1,
        bits if bits >> 16 == 0 => 2,
        bits if bits >> 32 == 0 => 4,
        bits if bits >> 64 == 0 => 8,
        _ => WIDE,
    };
    out.push(width);
    out.extend_from_slice(&count.to_le_bytes());
    out.reserve(count as usize * width as usize);
    for value in values {
        out.extend_from_slice(&(value as u128).to_le_bytes()[..width as usize]);
    }
    Ok(())
}

/// Writes times, in ms since 1970 UTC, before or after it.
pub fn pack_instants<I: Iterator<Item = i64> + Clone>(out: &mut Vec<u8>, instants_ms: I) {
    out.push(8);
    out.extend_from_slice(&(instants_ms.clone().count() as u32).to_le_bytes());
    for instant_ms in instants_ms {
        out.extend_from_slice(&instant_ms.to_le_bytes());
    }
}

/// Writes texts as their lengths in code points and one run of UTF-8.
pub fn pack_texts<'a, I>(out: &mut Vec<u8>, texts: I) -> Result<()>
where
    I: Iterator<Item = &'a str> + Clone,
{
    let blob_bytes: usize = texts.clone().map(str::len).sum();
    let lengths = texts.clone().map(|text| text.chars().count() as i128);
    pack_ints(out, std::iter::once(blob_bytes as i128).chain(lengths))?;
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// Writes texts as numbers: each different text once, `known` ones before them not at all.
pub fn pack_numbered<'a>(
    out: &mut Vec<u8>,
    known: impl Iterator<Item = &'a str>,
    texts: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let mut numbers: AHashMap<&str, i128> = AHashMap::new();
    for text in known {
        numbers.insert(text, numbers.len() as i128);
    }
    let mut others: Vec<&str> = Vec::new();
    let mut numbered: Vec<i128> = Vec::with_capacity(texts.size_hint().0);
    for text in texts {
        let next = numbers.len() as i128;
        numbered.push(*numbers.entry(text).or_insert_with(|| {
            others.push(text);
            next
        }));
    }
    pack_texts(out, others.iter().copied())?;
    pack_ints(out, numbered.iter().copied())
}

/// Reads sections in the order they were written.
pub struct StateReader<'a> {
    data: &'a [u8],
    at: usize,
    /// What the bytes began with.
    pub header: Header,
}

impl<'a> StateReader<'a> {
    /// Reads the header; refuses other bytes, another kind, format or digest.
    pub fn new(data: &'a [u8], kind: u8, digest: &[u8; 8]) -> Result<Self> {
        let header = Header {
            kind,
            form: Form::Durable,
            sequence: 0,
            newest_ms: None,
        };
        let mut reader = StateReader {
            data,
            at: 0,
            header,
        };
        let head = reader.take(HEADER_BYTES)?;
        if &head[..2] != MAGIC || head[3] != kind || head[2] != FORMAT_VERSION {
            return Err(EngineError::StateBytes(format!(
                "state begins with {:?}, expected {:?}, format {FORMAT_VERSION} and kind {:?}; \
                 rebuild the state from the logs",
                head[..4].escape_ascii().to_string(),
                "WS",
                kind as char
            )));
        }
        if &head[5..13] != digest {
            return Err(EngineError::StateBytes(format!(
                "state of definitions {}, this process has {}; rebuild the state from the logs",
                hex(&head[5..13]),
                hex(digest)
            )));
        }
        let newest_ms = i64::from_le_bytes(eight(&head[22..30]));
        check_time(newest_ms).map_err(|error| EngineError::StateBytes(error.to_string()))?;
        reader.header = Header {
            kind,
            form: Form::from_byte(head[4])?,
            sequence: u64::from_le_bytes(eight(&head[13..21])),
            newest_ms: (head[21] != 0).then_some(newest_ms),
        };
        Ok(reader)
    }

    /// Reads what [`pack_ints`] wrote.
    pub fn ints(&mut self) -> Result<Vec<i128>> {
        let head = self.take(5)?;
        let (width, count) = (
            head[0],
            u32::from_le_bytes([head[1], head[2], head[3], head[4]]),
        );
        if !matches!(width, 1 | 2 | 4 | 8 | WIDE) {
            return Err(EngineError::StateBytes(format!(
                "integers {width} bytes wide at byte {} of a state",
                self.at
            )));
        }
        let bytes = self.take(width as usize * count as usize)?;
        Ok(bytes
            .chunks_exact(width as usize)
            .map(|chunk| {
                let mut wide = [0u8; 16];
                wide[..chunk.len()].copy_from_slice(chunk);
                i128::from_le_bytes(wide)
            })
            .collect())
    }

    /// Reads integers that are counts, or how long before the newest event something was, ms.
    pub fn narrow_ints(&mut self) -> Result<Vec<i64>> {
        let at = self.at;
        self.ints()?
            .into_iter()
            .map(|value| {
                if !(0..=NARROW_MAX).contains(&value) {
                    return Err(EngineError::StateBytes(format!(
                        "an integer {value} after byte {at} of a state, limit {NARROW_MAX}"
                    )));
                }
                Ok(value as i64)
            })
            .collect()
    }

    /// Reads what [`pack_instants`] wrote.
    pub fn instants(&mut self) -> Result<Vec<i64>> {
        let head = self.take(5)?;
        let count = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let bytes = self.take(8 * count as usize)?;
        Ok(bytes
            .chunks_exact(8)
            .map(|chunk| i64::from_le_bytes(eight(chunk)))
            .collect())
    }

    /// Reads what [`pack_texts`] wrote.
    pub fn texts(&mut self) -> Result<Vec<&'a str>> {
        let sizes = self.narrow_ints()?;
        let Some((&blob_bytes, lengths)) = sizes.split_first() else {
            return Err(EngineError::StateBytes(format!(
                "no size of a text before byte {} of a state",
                self.at
            )));
        };
        let blob = self.take(usize::try_from(blob_bytes).unwrap_or(usize::MAX))?;
        let mut rest = std::str::from_utf8(blob).map_err(|error| {
            EngineError::StateBytes(format!("a text of a state is not UTF-8: {error}"))
        })?;
        let mut texts = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let end = end_of_characters(rest, length);
            let (text, after) = rest.split_at(end);
            texts.push(text);
            rest = after;
        }
        Ok(texts)
    }

    /// Reads integers of up to 63 bits.
    pub fn values(&mut self) -> Result<Vec<i64>> {
        let at = self.at;
        let narrowed: std::result::Result<Vec<_>, _> =
            self.ints()?.into_iter().map(i64::try_from).collect();
        narrowed.map_err(|_| {
            EngineError::StateBytes(format!(
                "an integer after byte {at} of a state, limit {}",
                i64::MAX
            ))
        })
    }

    /// Reads what [`pack_numbered`] wrote, with the same known texts.
    pub fn numbered(&mut self, mut known: Vec<Arc<str>>) -> Result<Vec<Arc<str>>> {
        known.extend(self.texts()?.into_iter().map(Arc::from));
        let numbers = self.narrow_ints()?;
        let found = numbers.iter().map(|&number| known.get(number as usize));
        let texts: Option<Vec<_>> = found.map(Option::<&Arc<str>>::cloned).collect();
        texts.ok_or_else(|| {
            EngineError::StateBytes(format!(
                "sections of a state do not fit together: a number beyond {} texts",
                known.len()
            ))
        })
    }

    /// Checks that everything has been read.
    pub fn finish(self) -> Result<()> {
        if self.at == self.data.len() {
            return Ok(());
        }
        Err(EngineError::StateBytes(format!(
            "state of {} bytes, {} expected",
            self.data.len(),
            self.at
        )))
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let end = self.at.saturating_add(size);
        if end > self.data.len() {
            return Err(EngineError::StateBytes(format!(
                "state of {} bytes, {end} expected",
                self.data.len()
            )));
        }
        let taken = &self.data[self.at..end];
        self.at = end;
        Ok(taken)
    }
}

/// Refuses sections that should be equally long and are not.
pub fn check_equal_lengths(first: usize, second: usize) -> Result<()> {
    if first == second {
        return Ok(());
    }
    Err(EngineError::StateBytes(format!(
        "sections of a state do not fit together: {first} and {second} entries"
    )))
}

fn end_of_characters(text: &str, count: i64) -> usize {
    match text.char_indices().nth(count.max(0) as usize) {
        Some((at, _)) => at,
        None => text.len(),
    }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    let mut array = [0u8; 8];
    array.copy_from_slice(bytes);
    array
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: [u8; 8] = [7; 8];
    const HEADER: Header = Header {
        kind: b'u',
        form: Form::Durable,
        sequence: 3,
        newest_ms: Some(-5),
    };

    fn bytes_of(header: &Header, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack_header(&mut bytes, header, &DIGEST);
        write(&mut bytes);
        bytes
    }

    fn refusal<T>(read: Result<T>) -> String {
        match read {
            Ok(_) => panic!("it was not refused"),
            Err(EngineError::StateBytes(text)) => text,
            Err(other) => panic!("not a StateBytes: {other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ints = [0i128, 1, 255, 256, 1 << 70, i128::MAX];
        let texts = ["", "é", "abc", "😀"];
        let instants = [i64::MIN, -1, 0, i64::MAX];
        let bytes = bytes_of(&HEADER, |out| {
            pack_ints(out, ints.iter().copied()).expect("integers from 0 on");
            pack_texts(out, texts.iter().copied()).expect("lengths are from 0 on");
            pack_instants(out, instants.iter().copied());
        });
        let mut reader = StateReader::new(&bytes, b'u', &DIGEST).expect("a header");
        assert_eq!(reader.header, HEADER);
        assert_eq!(reader.ints(), Ok(ints.to_vec()));
        assert_eq!(reader.texts(), Ok(texts.to_vec()));
        assert_eq!(reader.instants(), Ok(instants.to_vec()));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn integers_are_as_narrow_as_the_largest_allows() {
        for (largest, width) in [
            (0, 1),
            (255, 1),
            (256, 2),
            (65_535, 2),
            (65_536, 4),
            ((1 << 32) - 1, 4),
            (1 << 32, 8),
            ((1 << 64) - 1, 8),
            (1 << 64, 16),
        ] {
            let mut bytes = Vec::new();
            pack_ints(&mut bytes, [0, largest].into_iter()).expect("integers from 0 on");
            assert_eq!(bytes.len(), 5 + 2 * width, "{largest}");
        }
        let mut bytes = Vec::new();
        assert!(pack_ints(&mut bytes, [-1].into_iter()).is_err());
    }

    #[test]
    fn bytes_of_another_kind_format_or_plan_are_refused() {
        let bytes = bytes_of(&HEADER, |_| {});
        assert!(StateReader::new(&bytes, b'u', &DIGEST).is_ok());
        assert!(refusal(StateReader::new(&bytes, b'm', &DIGEST)).contains("kind 'm'"));
        assert!(refusal(StateReader::new(&bytes, b'u', &[8; 8])).contains("definitions"));
        for (at, byte) in [(0, b'X'), (2, FORMAT_VERSION + 1), (4, 9)] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            refusal(StateReader::new(&damaged, b'u', &DIGEST));
        }
        for size in 0..bytes.len() {
            refusal(StateReader::new(&bytes[..size], b'u', &DIGEST));
        }
    }

    #[test]
    fn times_that_no_event_has_are_refused() {
        for newest_ms in [i64::MIN, i64::MAX, TIME_MS_MAX + 1, -TIME_MS_MAX - 1] {
            let header = Header {
                newest_ms: Some(newest_ms),
                ..HEADER
            };
            let bytes = bytes_of(&header, |_| {});
            refusal(StateReader::new(&bytes, b'u', &DIGEST));
        }
        for back in [NARROW_MAX + 1, i128::MAX, 1 << 63] {
            let bytes = bytes_of(&HEADER, |out| {
                pack_ints(out, [back].into_iter()).expect("integers from 0 on");
            });
            let mut reader = StateReader::new(&bytes, b'u', &DIGEST).expect("a header");
            refusal(reader.narrow_ints());
        }
    }

    #[test]
    fn sections_that_end_too_early_or_go_on_are_refused() {
        let bytes = bytes_of(&HEADER, |out| {
            pack_ints(out, [1, 2, 3].into_iter()).expect("integers from 0 on");
        });
        for size in bytes.len() - 8..bytes.len() {
            let mut reader = StateReader::new(&bytes[..size], b'u', &DIGEST).expect("a header");
            refusal(reader.ints());
        }
        let reader = StateReader::new(&bytes, b'u', &DIGEST).expect("a header");
        refusal(reader.finish());
    }
}
